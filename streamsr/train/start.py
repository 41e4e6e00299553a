"""What a run starts from, where not from chance: the weights of another model."""

from torch import Tensor, nn

from streamsr.core.errors import ModelError
from streamsr.networks.fast import Fast
from streamsr.networks.recurrent import MIDDLE, Recurrent
from streamsr.zoo.loading import make_network
from streamsr.zoo.registry import Entry
from streamsr.zoo.weights import read_weights

__all__ = ["start_from"]

WEIGHT, BIAS = "body.0.weight", "body.0.bias"  # of the first layer


def start_from(network: nn.Module, entry: Entry) -> None:
    """Give ``network`` the weights of ``entry``, whose network is the same in all but its window.

    The frames that the other one does not look at count for nothing at first. A ``fast`` network
    may also start from a recurrent one, as which it then does a stream's first frame, but for the
    borders and the mean. Raises ModelError.
    """
    if entry.card.weights is None:
        raise ModelError(f"init {entry.name!r}: the model has no weights to start from")
    other = make_network(entry.card)
    read_weights(entry.folder / entry.card.weights.file, entry.card.weights.sha256, other)
    given = other.state_dict()
    if isinstance(network, Fast) and isinstance(other, Fast | Recurrent):
        if isinstance(other, Recurrent):
            given |= _without_memory(given)
        before = other.reference if isinstance(other, Fast) else 0
        room = network.state_dict()[WEIGHT]
        given[WEIGHT] = _widened(given[WEIGHT], room, network.reference - before)
    try:
        network.load_state_dict(given)
    except RuntimeError as error:
        raise ModelError(f"init {entry.name!r}: the model's network is another: {error}") from None


def _without_memory(given: dict[str, Tensor]) -> dict[str, Tensor]:
    """The first layer of a recurrent network as it is where all but the frame is 0."""
    frame = given[WEIGHT][:, :1]
    return {WEIGHT: frame, BIAS: given[BIAS] - MIDDLE * frame.sum((1, 2, 3))}


def _widened(weight: Tensor, room: Tensor, first: int) -> Tensor:
    """The first layer's weights with its frames at their places, from ``first`` on, in the wider
    window."""
    if weight.shape[1] >= room.shape[1]:
        return weight
    wide = room.new_zeros(weight.shape[0], *room.shape[1:])
    wide[:, first : first + weight.shape[1]] = weight
    return wide
