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

CAUTION = 0.2  # of the detail between scales: much of it is in the skip already


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
            in_rows = _floats(outputs).view(-1, len(frames), *outputs.shape[1:])
            yield in_rows.transpose(0, 1), span
        return
    memory = network.fresh(len(frames), *frames.shape[3:])
    for span in spans:
        upscaled = []
        for window in windows[span]:
            with half:
                output, memory = network(window, memory)
            upscaled.append(output)
        yield _floats(torch.stack(upscaled, 1)), span
        memory = tuple(part.detach() for part in memory)


def _floats(output: Tensor) -> Tensor:
    """A network's output in [0, 1]; of one in integers it is levels."""
    return output.float() if output.is_floating_point() else output / 255


def start_from(network: nn.Module, entry: Entry) -> None:
    """Loads the weights of ``entry``, whose network may be a smaller one of the same kind.

    What is larger begins as what it grew from (Chen et al., Net2Net, 2016): new layers pass on what
    they get, new features and the frames that the other one does not look at count for nothing at
    first. Between scales and folds the first and the last layer are resampled, place by place. A
    ``fast`` network may also start from a recurrent one, as which it then does a stream's first
    frame, but for the borders and the mean. Raises ModelError.
    """
    if entry.card.weights is None:
        raise ModelError(f"init {entry.name!r}: the model has no weights to start from")
    other = make_network(entry.card)
    read_weights(entry.folder / entry.card.weights.file, entry.card.weights.sha256, other)
    try:
        if isinstance(network, Fast | Recurrent) and isinstance(other, Fast | Recurrent):
            _grow(network, other)
        else:
            network.load_state_dict(other.state_dict())
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"init {entry.name!r}: the model's network is another: {error}") from None


@torch.no_grad()
def _grow(network: Fast | Recurrent, other: Fast | Recurrent) -> None:
    """Makes ``network`` do what ``other`` does, as far as it can. Raises ValueError where it is
    the smaller one."""
    ours, theirs = _convolutions(network), _convolutions(other)
    if len(ours) < len(theirs) or ours[0].out_channels < theirs[0].out_channels:
        raise ValueError("it has more layers or features")
    first, last = _first(network, other, theirs[0]), _last(network, other, theirs[-1])
    middle = [(conv.weight, _bias(conv)) for conv in theirs[1:-1]]
    for conv in ours[len(middle) + 1 : -1]:
        nn.init.dirac_(conv.weight)
        nn.init.zeros_(_bias(conv))
    parts = [first, *middle]
    for conv, (weight, bias) in zip(ours, parts, strict=False):
        _lay_into(conv, weight, bias)
    _lay_into(ours[-1], *last)


def _lay_into(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    """Makes the first features of ``conv`` those of ``weight``, deaf to its other inputs."""
    features, inputs = weight.shape[:2]
    conv.weight[:features, inputs:] = 0
    conv.weight[:features, :inputs] = weight
    _bias(conv)[:features] = bias


def _first(
    network: Fast | Recurrent, other: Fast | Recurrent, conv: nn.Conv2d
) -> tuple[Tensor, Tensor]:
    """The first layer of ``other`` for the inputs of ``network``."""
    weight, bias = conv.weight, _bias(conv)
    if isinstance(network, Fast):
        if isinstance(other, Recurrent):  # as it is where all that it sees but the frame is 0
            weight = weight[:, : other.fold**2]
            bias = bias - MIDDLE * weight.sum((1, 2, 3))
            before = network.reference
        else:
            before = network.reference - other.reference
        weight = _refolded(weight, other.fold, network.fold)
        places = network.fold**2
        after = network.inputs - weight.shape[1] - before * places
        if before < 0 or after < 0:
            raise ValueError("its window is longer")
        return F.pad(weight, (0, 0, 0, 0, before * places, after)), bias
    if isinstance(other, Fast):
        raise ValueError("it has no memory")
    shares = [2 * other.fold**2, other.sub**2, other.kept]
    frames, output, kept = torch.split(weight, shares, 1)
    frames = _refolded(frames, other.fold, network.fold)
    output = _resampled(output, 1, other.sub, network.sub, mean=False)
    return torch.cat((frames, output, kept[:, : network.kept]), 1), bias


def _last(
    network: Fast | Recurrent, other: Fast | Recurrent, conv: nn.Conv2d
) -> tuple[Tensor, Tensor]:
    """The last layer of ``other`` for the places of an output of ``network``."""
    subs = (other.scale * other.fold, network.scale * network.fold)
    weight = _resampled(conv.weight, 0, *subs, mean=True)
    bias = _resampled(_bias(conv)[:, None, None, None], 0, *subs, mean=True)
    share = 1.0 if network.scale == other.scale else CAUTION
    return weight * share, bias[:, 0, 0, 0] * share


def _refolded(weight: Tensor, fold: int, wanted: int) -> Tensor:
    """The weights of each frame's places for those of another fold: the sum of a frame's stays."""
    images = weight.shape[1] // fold**2
    parts = weight.chunk(images, 1)
    return torch.cat([_resampled(part, 1, fold, wanted, mean=False) for part in parts], 1)


def _resampled(weight: Tensor, axis: int, sub: int, wanted: int, *, mean: bool) -> Tensor:
    """Weights of sub² places for wanted² places: with the same mean, or else the same sum."""
    if sub == wanted:
        return weight
    moved_last = weight.movedim(axis, -1)
    places = moved_last.reshape(*moved_last.shape[:-1], sub, sub)
    flat = places.flatten(0, -3)[:, None]
    moved = F.interpolate(flat, [wanted, wanted], mode="bilinear", antialias=True)
    if not mean:
        moved = moved * (sub / wanted) ** 2
    return moved.reshape(*places.shape[:-2], wanted**2).movedim(-1, axis)


def _convolutions(network: Fast | Recurrent) -> list[nn.Conv2d]:
    return [conv for conv in network.body.children() if isinstance(conv, nn.Conv2d)]


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias
