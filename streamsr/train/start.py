"""What a run starts from, where not from chance: the weights of another model."""

from torch import Tensor, nn

from streamsr.errors import ModelError
from streamsr.networks.fast import Fast
from streamsr.zoo.registry import Entry, make_network
from streamsr.zoo.weights import read_weights

__all__ = ["start_from"]


def start_from(network: nn.Module, entry: Entry) -> None:
    """Give ``network`` the weights of ``entry``, a network that is the same in all but its window.

    The frames that the other one does not look at count for nothing at first. Raises ModelError.
    """
    if entry.card.weights is None:
        raise ModelError(f"init {entry.name!r}: the model has no weights to start from")
    other = make_network(entry.card)
    read_weights(entry.folder / entry.card.weights.file, entry.card.weights.sha256, other)
    given = other.state_dict()
    if isinstance(network, Fast) and isinstance(other, Fast):
        first = "body.0.weight"
        given[first] = _widened(given[first], network.state_dict()[first], network, other)
    try:
        network.load_state_dict(given)
    except RuntimeError as error:
        raise ModelError(f"init {entry.name!r}: the model's network is another: {error}") from None


def _widened(weight: Tensor, room: Tensor, network: Fast, other: Fast) -> Tensor:
    """The first layer's weights with its frames at their places in the wider window."""
    if weight.shape[1] >= room.shape[1]:
        return weight
    wide = room.new_zeros(weight.shape[0], *room.shape[1:])
    first = network.reference - other.reference
    wide[:, first : first + weight.shape[1]] = weight
    return wide
