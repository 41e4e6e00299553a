"""A network in training: the weights it starts from, and how it runs over frames in a row."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamsr.core.errors import ModelError
from streamsr.networks.contract import RecurrentNetwork
from streamsr.networks.facts import Facts
from streamsr.networks.fast import Fast
from streamsr.networks.recurrent import MIDDLE, Recurrent
from streamsr.zoo.loading import make_network
from streamsr.zoo.registry import Entry
from streamsr.zoo.weights import read_weights

__all__ = ["start_from", "unrolled"]

WEIGHT, BIAS = "body.0.weight", "body.0.bias"  # of the first layer


def unrolled(
    network: nn.Module, facts: Facts, frames: Tensor, truncate: int, *, bfloat16: bool = False
) -> Iterator[tuple[Tensor, slice]]:
    """Runs ``network`` on every window of (b, n, c, h, w) frames, ``truncate`` windows a part.

    Yields outputs in a row, (b, frames, c, h, w) float32, and of which windows they are: n - window
    + 1 in all. The gradient of one part must be taken before the next is asked for. With
    ``bfloat16`` the network runs under autocast.

    Back-propagation through time is truncated (Williams and Peng, An Efficient Gradient-Based
    Algorithm for On-Line Training of Recurrent Network Trajectories, 1990): after each part the
    memory goes on without its gradient, so that a long sequence takes the memory of a short one.
    """
    count = frames.shape[1] - facts.window + 1
    windows = [frames[:, first : first + facts.window] for first in range(count)]
    spans = [slice(n, min(n + truncate, count)) for n in range(0, count, truncate)]
    half = torch.autocast(frames.device.type, torch.bfloat16, enabled=bfloat16)
    if not isinstance(network, RecurrentNetwork):
        for span in spans:
            with half:
                outputs = network(torch.cat(windows[span]))
            yield outputs.float().unflatten(0, (-1, len(frames))).transpose(0, 1), span
        return
    memory = network.fresh(len(frames), *frames.shape[3:])
    for span in spans:
        upscaled = []
        for window in windows[span]:
            with half:
                output, memory = network(window, memory)
            upscaled.append(output)
        yield torch.stack(upscaled, 1), span
        memory = tuple(part.detach() for part in memory)


def start_from(network: nn.Module, entry: Entry) -> None:
    """Loads the weights of ``entry``, whose network is the same in all but its window.

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
        if isinstance(other, Recurrent):  # as it is where all that it sees but the frame is 0
            frame = given[WEIGHT][:, :1]
            given |= {WEIGHT: frame, BIAS: given[BIAS] - MIDDLE * frame.sum((1, 2, 3))}
        before = network.reference - (other.reference if isinstance(other, Fast) else 0)
        more = network.state_dict()[WEIGHT].shape[1] - given[WEIGHT].shape[1]
        if more > 0:  # frames
            given[WEIGHT] = F.pad(given[WEIGHT], (0, 0, 0, 0, before, more - before))
    try:
        network.load_state_dict(given)
    except RuntimeError as error:
        raise ModelError(f"init {entry.name!r}: the model's network is another: {error}") from None
