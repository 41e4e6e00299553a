"""The kernels: the same text that a GPU runs, against torch's conversion and colour.py's."""

from collections.abc import Callable
from fractions import Fraction
from math import ceil

import numpy as np
import pytest
import torch
from compiled import CompiledKernels
from torch import Tensor

from streamsr.core.frame import ColourTags, Frame
from streamsr.engine.colour import Converter, TorchConverter, network_input, network_output
from streamsr.engine.cuda.kernel_source import KERNELS
from streamsr.engine.cuda.kernels import KernelConverter, converter_on
from streamsr.networks.facts import Colour
from streamsr.networks.resample import resize

CPU = torch.device("cpu")
TAGS = [
    ColourTags(matrix, matrix, matrix, full, siting)
    for matrix, full, siting in ((6, False, 1), (1, False, 2), (1, True, 1), (9, True, 2))
]
SIZES = [(18, 32), (9, 13), (2, 1), (1, 2), (35, 67)]
both_colours = pytest.mark.parametrize("colour", list(Colour), ids=str)
every_tags = pytest.mark.parametrize(
    "tags", TAGS, ids=lambda t: f"{t.matrix}-{'full' if t.full_range else 'limited'}-{t.chroma}"
)
every_size = pytest.mark.parametrize("size", SIZES, ids=str)


def noise(size: tuple[int, int], tags: ColourTags, seed: int = 0) -> Frame:
    """All levels beside each other: what is out of range too."""
    random = np.random.default_rng(seed)
    height, width = size
    shapes = [size, *[(-(-height // 2), -(-width // 2))] * 2]
    planes = tuple(random.integers(0, 256, shape, np.uint8) for shape in shapes)
    return Frame(planes, tags, 0, Fraction(1, 25))


def packed(size: tuple[int, int]) -> Frame:
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    return Frame((pixels,), ColourTags(0, 1, 13, True), 0, Fraction(1, 25))


def tensors(frame: Frame, device: torch.device = CPU) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(plane).to(device) for plane in frame.planes)


def read(
    converter: Converter,
    frame: Frame,
    colour: Colour,
    multiple: int = 4,
    dtype: torch.dtype = torch.float32,
    device: torch.device = CPU,
) -> Tensor:
    """What the network reads, padded to ``multiple``."""
    height, width = (-(-side // multiple) * multiple for side in (frame.height, frame.width))
    out = torch.full((colour.channels, height, width), float("nan"), dtype=dtype, device=device)
    converter.read(tensors(frame, device), frame.colour, out)
    return out


def written(
    converter: Converter, output: Tensor, frame: Frame, scale: Fraction | int
) -> tuple[list[Tensor], int]:
    """The planes that come of ``output``, and whether it was bad."""
    height, width = ceil(frame.height * scale), ceil(frame.width * scale)
    shapes = [(height, width), *[(-(-height // 2), -(-width // 2))] * 2]
    if frame.is_rgb:
        shapes = [(height, width, 3)]
    out = [torch.full(s, 77, dtype=torch.uint8, device=output.device) for s in shapes]
    bad = torch.full((1,), 77, dtype=torch.int32, device=output.device)
    source = tensors(frame, output.device)
    converter.write(output[:, :height, :width], source, frame.colour, tuple(out), bad)
    return out, int(bad)


@every_size
@every_tags
@both_colours
def test_torch_reads_and_writes_what_colour_does(
    colour: Colour, tags: ColourTags, size: tuple[int, int]
) -> None:
    frame, scale = noise(size, tags), 3
    converter = TorchConverter(colour)
    pixels = read(converter, frame, colour)
    expected = network_input(frame, colour, CPU)
    height, width = size
    torch.testing.assert_close(pixels[:, :height, :width], expected, rtol=0, atol=0)
    output = resize(expected, scale)
    planes, bad = written(converter, output, frame, scale)
    assert bad == 0
    for plane, wanted in zip(planes, network_output(output, frame, colour), strict=True):
        off = np.abs(plane.numpy().astype(int) - wanted)
        assert off.max() <= 1
        assert (off > 0).mean() < 5e-3, "only where a sample lies between two levels"


@both_colours
def test_torch_reads_and_writes_packed_rgb_as_colour_does(colour: Colour) -> None:
    frame = packed((9, 13))
    converter = TorchConverter(colour)
    pixels = read(converter, frame, colour)[:, :9, :13]
    torch.testing.assert_close(pixels, network_input(frame, colour, CPU), rtol=0, atol=0)
    output = resize(pixels, 2) + 0.03
    planes, bad = written(converter, output, frame, 2)
    assert bad == 0
    (wanted,) = network_output(output, frame, colour)
    np.testing.assert_array_equal(planes[0].numpy(), wanted)


@pytest.mark.parametrize("size", [(9, 13), (8, 12), (5, 16)])
@both_colours
def test_padding_repeats_the_edge(colour: Colour, size: tuple[int, int]) -> None:
    pixels = read(TorchConverter(colour), noise(size, TAGS[0]), colour, multiple=8)
    height, width = size
    rows = torch.arange(pixels.shape[1]).clamp(max=height - 1)
    columns = torch.arange(pixels.shape[2]).clamp(max=width - 1)
    torch.testing.assert_close(pixels, pixels[:, rows][:, :, columns], rtol=0, atol=0)


@every_size
@every_tags
@both_colours
def test_kernels_read_what_torch_does(
    compiled: Callable[..., CompiledKernels],
    colour: Colour,
    tags: ColourTags,
    size: tuple[int, int],
) -> None:
    frame = noise(size, tags)
    expected = read(TorchConverter(colour), frame, colour)
    pixels = read(KernelConverter(colour, compiled()), frame, colour)
    torch.testing.assert_close(pixels, expected, rtol=0, atol=2e-6)
    half = read(KernelConverter(colour, compiled(half=True)), frame, colour, 4, torch.float16)
    torch.testing.assert_close(half.float(), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("scale", [1, 2, 4, Fraction(5, 3), Fraction(3, 7)], ids=str)
@every_size
@every_tags
@both_colours
def test_kernels_write_what_torch_does(
    compiled: Callable[..., CompiledKernels],
    colour: Colour,
    tags: ColourTags,
    size: tuple[int, int],
    scale: Fraction | int,
) -> None:
    frame = noise(size, tags)
    padded = read(TorchConverter(colour), frame, colour)
    output = resize(padded, scale)
    expected, _ = written(TorchConverter(colour), output, frame, scale)
    planes, bad = written(KernelConverter(colour, compiled()), output, frame, scale)
    assert bad == 0
    for plane, wanted in zip(planes, expected, strict=True):
        difference = (plane.int() - wanted.int()).abs()
        assert difference.max() <= 1  # a value between two levels may go either way
        assert (difference > 0).float().mean() <= 0.01


@both_colours
def test_kernels_take_any_memory_format(
    compiled: Callable[..., CompiledKernels], colour: Colour
) -> None:
    """A network with weights in ``channels_last`` gives its output so."""
    frame = noise((9, 13), TAGS[0])
    output = resize(read(TorchConverter(colour), frame, colour), 2)
    converter = KernelConverter(colour, compiled())
    expected, _ = written(converter, output, frame, 2)
    other = output[None].to(memory_format=torch.channels_last)[0]
    planes, _ = written(converter, other, frame, 2)
    for plane, wanted in zip(planes, expected, strict=True):
        assert torch.equal(plane, wanted)


def test_every_kernel_was_run(compiled: Callable[..., CompiledKernels]) -> None:
    kernels = compiled()
    for colour in Colour:
        frame = noise((4, 6), TAGS[0])
        converter = KernelConverter(colour, kernels)
        written(converter, resize(read(converter, frame, colour), 2), frame, 2)
    assert kernels.launched == set(KERNELS)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("kind", ["torch", "kernels"])
@both_colours
def test_what_is_not_finite_is_told(
    compiled: Callable[..., CompiledKernels], colour: Colour, kind: str, value: float
) -> None:
    frame = noise((9, 13), TAGS[0])
    converter: Converter = TorchConverter(colour)
    if kind == "kernels":
        converter = KernelConverter(colour, compiled())
    output = torch.full((colour.channels, 24, 32), 0.5)
    assert written(converter, output, frame, 2)[1] == 0
    output[-1, 20, 5] = value  # in the padding, where nobody looks
    assert written(converter, output, frame, 2)[1] == 0
    output[-1, 17, 25] = value
    assert written(converter, output, frame, 2)[1] == 1
    output[-1, 17, 25] = 0.5
    assert written(converter, output, frame, 2)[1] == 0


def test_without_a_gpu_or_cupy_torch_converts() -> None:
    """Which of the two is missing here does not matter: the engine runs all the same."""
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")

    class Nowhere:
        device = torch.device("cuda", 0)

        def __cuda_stream__(self) -> tuple[int, int]:
            return 0, 0

    converter = converter_on(Nowhere(), Colour.LUMA, torch.float32)  # type: ignore[arg-type]
    assert isinstance(converter, TorchConverter)


GUARD = 64  # bytes around what a kernel may write


@pytest.mark.parametrize("size", [(9, 13), (35, 67)])
@both_colours
def test_kernels_write_nothing_but_what_is_theirs(
    compiled: Callable[..., CompiledKernels], colour: Colour, size: tuple[int, int]
) -> None:
    """The threads of a grid that have no pixel, at the right and below, leave memory alone."""
    frame, (height, width) = noise(size, TAGS[1]), size
    converter = KernelConverter(colour, compiled())
    pixels = torch.full((2 * GUARD + colour.channels * height * width,), 7.0)
    read_into = pixels[GUARD:-GUARD].view(colour.channels, height, width)
    converter.read(tensors(frame), frame.colour, read_into)
    memory = torch.full((2 * GUARD + 8 * height * width,), 77, dtype=torch.uint8)
    ends, out = GUARD, []
    for shape in ((2 * height, 2 * width), size, size):
        out.append(memory[ends : ends + shape[0] * shape[1]].view(shape))
        ends += shape[0] * shape[1]
    bad = torch.full((2 * GUARD + 1,), 77, dtype=torch.int32)
    output = resize(read_into, 2)
    converter.write(output, tensors(frame), frame.colour, tuple(out), bad[GUARD : GUARD + 1])
    assert bad[GUARD] == 0
    for guarded, length in ((pixels, read_into.numel()), (memory, ends - GUARD), (bad, 1)):
        untouched = torch.cat([guarded[:GUARD], guarded[GUARD + length :]])
        assert untouched.unique().tolist() == [7 if guarded is pixels else 77]
