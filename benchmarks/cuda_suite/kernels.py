"""The check of the conversions: by kernels as by torch, and no slower, in a captured graph."""

from typing import Any

import torch
from torch import Tensor

from benchmarks.cuda_suite.places import Outcome, Place, rate_of
from benchmarks.cuda_suite.streams import TAGS, clip
from streamsr.core.frame import Frame
from streamsr.engine.colour import Converter, TorchConverter
from streamsr.engine.cuda.kernels import KernelConverter
from streamsr.networks.facts import Colour

__all__ = ["kernels"]

SCALE = 4
LEVELS = 1
CLOSE = 1e-3  # of the network's pixels, in float16


class Conversion:
    """A frame's planes to pixels and back by one converter, from memory that is allocated once."""

    def __init__(self, place: Place, converter: Converter, colour: Colour, frame: Frame) -> None:
        to = place.torch_device
        self._converter, self._tags = converter, frame.colour
        self._source = tuple(torch.from_numpy(plane.copy()).to(to) for plane in frame.planes)
        height, width = frame.height, frame.width
        self.pixels = torch.zeros(colour.channels, height, width, device=to, dtype=torch.float16)
        seeded = torch.Generator().manual_seed(0)
        shape = colour.channels, SCALE * height, SCALE * width
        self._output = torch.rand(shape, generator=seeded).to(to)
        large = (SCALE * height, SCALE * width)
        shapes = [large, *[(-(-large[0] // 2), -(-large[1] // 2))] * 2]
        self.planes = tuple(torch.zeros(s, dtype=torch.uint8, device=to) for s in shapes)
        self._bad = torch.zeros(1, dtype=torch.int32, device=to)

    def run(self) -> None:
        self._converter.read(self._source, self._tags, self.pixels)
        self._converter.write(self._output, self._source, self._tags, self.planes, self._bad)


def kernels(place: Place) -> Outcome:
    figures: dict[str, Any] = {}
    wrong, slower = [], []
    for colour in Colour:
        device = place.device()
        stream = device.stream()
        frame = next(clip(place.sizes.frame, TAGS["709 centre"]))
        ours = device.converter(stream, colour, torch.float16)
        if place.is_device and not isinstance(ours, KernelConverter):
            return Outcome("failed", "CuPy has no kernels here: pip install cupy-cuda13x")
        two = {
            "kernels" if place.is_device else "torch in their place": ours,
            "torch": TorchConverter(colour),
        }
        spent, made = [], []
        for name, converter in two.items():
            conversion = Conversion(place, converter, colour, frame)
            replay = place.captured(device, stream, conversion.run)
            rate = rate_of(replay, stream, device, place.sizes.timed)
            spent.append(1e6 / rate)
            made.append(conversion)
            figures[f"{colour} by {name}, microseconds"] = round(1e6 / rate, 1)
        wrong += [str(colour)] if differ(*made) else []
        slower += [str(colour)] if spent[0] > spent[1] else []
    if wrong:
        return Outcome("failed", f"not what torch gives: {', '.join(wrong)}", figures)
    got = f"slower: {', '.join(slower)}" if slower else "the same values, no slower"
    return Outcome(place.judged(not slower), got, figures)


def differ(one: Conversion, other: Conversion) -> bool:
    def far(a: Tensor, b: Tensor) -> float:
        return float((a.float() - b.float()).abs().max())

    planes = zip(one.planes, other.planes, strict=True)
    return far(one.pixels, other.pixels) > CLOSE or any(far(*pair) > LEVELS for pair in planes)
