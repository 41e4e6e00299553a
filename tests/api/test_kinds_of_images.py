"""Images of every kind: what comes in comes out, larger, and says the same."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

import streamsr
from streamsr.api.images.arrays import numpy_of, opened_array
from streamsr.engine.detail import resized_samples

HEIGHT, WIDTH = 24, 32
DTYPES = (np.uint8, np.uint16, np.float16, np.float32, np.float64)


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def levels_of(array: np.ndarray) -> np.ndarray:
    """An image of any dtype in levels of 8 bits."""
    whole = {np.dtype(np.uint8): 1, np.dtype(np.uint16): 1 / 257}.get(array.dtype, 255)
    return array.astype(np.float64) * whole


def as_dtype(array: np.ndarray, kind: Any) -> np.ndarray:
    """An image of 8 bits in another dtype."""
    if np.dtype(kind) == np.uint16:
        return array.astype(np.uint16) * np.uint16(257)
    return array if np.dtype(kind) == np.uint8 else (array / 255).astype(kind)


@pytest.fixture(scope="module")
def upscaler() -> Iterator[streamsr.Upscaler]:
    with streamsr.Upscaler("bicubic", device="cpu") as made:
        yield made


@pytest.fixture(scope="module")
def network() -> Iterator[streamsr.Upscaler]:
    with streamsr.Engine("cpu") as engine, engine.stream("fast") as made:
        yield made


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("channels", [(), (1,), (3,), (4,)])
def test_a_dtype_stays_and_says_what_8_bits_say(
    network: streamsr.Upscaler, kind: Any, channels: tuple[int, ...]
) -> None:
    image = pixels(HEIGHT, WIDTH, *channels)
    made = network(as_dtype(image, kind))
    assert made.dtype == kind
    assert made.shape == (4 * HEIGHT, 4 * WIDTH, *channels)
    apart = np.abs(levels_of(made) - levels_of(network(image)))
    assert apart.mean() < 0.3, "one is rounded"
    assert apart.max() < 5, "and of noise a network makes more"


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_first_are_the_same_image(network: streamsr.Upscaler, channels: int) -> None:
    image = pixels(HEIGHT, WIDTH, channels)
    made = network(np.ascontiguousarray(np.moveaxis(image, -1, 0)))
    assert np.array_equal(np.moveaxis(made, 0, -1), network(image))


@pytest.mark.parametrize("kind", [torch.uint8, torch.uint16, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH), (3, HEIGHT, WIDTH), (HEIGHT, WIDTH, 3)])
def test_a_tensor_stays_one(
    upscaler: streamsr.Upscaler, kind: torch.dtype, shape: tuple[int, ...]
) -> None:
    image = pixels(*shape)
    given_ = torch.from_numpy(image if kind is torch.uint8 else image / 255)
    if kind is torch.uint16:
        given_ = torch.from_numpy(as_dtype(image, np.uint16))
    made = upscaler(given_.to(kind))
    assert isinstance(made, torch.Tensor)
    assert (made.dtype, made.device) == (kind, given_.device)
    whole = {torch.uint8: 1.0, torch.uint16: 1 / 257}.get(kind, 255.0)
    coarse = 1.6 if kind is torch.bfloat16 else 0.8
    assert np.abs(made.float().numpy() * whole - upscaler(image)).max() < coarse


@pytest.mark.parametrize("kind", [">u2", ">f4"])
@pytest.mark.parametrize("shape", [(24, 32), (24, 32, 3), (2, 24, 32, 3), (2, 1, 24, 32, 3)])
def test_bytes_of_another_order_stay_so(
    upscaler: streamsr.Upscaler, shape: tuple[int, ...], kind: str
) -> None:
    assert upscaler(np.zeros(shape, kind)).dtype == np.dtype(kind)


@pytest.mark.parametrize("shape", [(3, 24, 32), (2, 3, 24, 32), (2, 4, 24, 32)])
def test_channels_that_lie_last_in_memory_stay_there(
    upscaler: streamsr.Upscaler, shape: tuple[int, ...]
) -> None:
    rows = torch.rand(*shape[:-3], *shape[-2:], shape[-3])
    image = rows.movedim(-1, -3)
    assert not image.is_contiguous()
    made = upscaler(image)
    assert made.movedim(-3, -1).is_contiguous()
    assert torch.equal(made, upscaler(image.contiguous()))
    assert upscaler(image.contiguous()).is_contiguous()


def test_a_decoders_rotation_and_captions_stay(upscaler: streamsr.Upscaler, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "turned.mp4"), "w") as file:
        video = file.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.set_display_rotation(90)
        for level in (40, 200):
            file.mux(video.encode(av.VideoFrame.from_ndarray(pixels(48, 64, 3) // 2 + level // 4)))
        file.mux(video.encode())
    with av.open(str(tmp_path / "turned.mp4")) as file:
        frames = list(file.decode(video=0))
    assert frames[0].rotation
    for name in ("yuv420p", "nv12", "rgb24", "yuv420p10le", "rgba", "gray"):
        for frame in frames:
            given = frame if name == "yuv420p" else frame.reformat(format=name)
            before, alone = given.to_ndarray(), given.to_ndarray()
            made = upscaler(given)
            assert (made.rotation, made.format.name) == (frame.rotation, name)
            assert {one.type for one in made.side_data} == {one.type for one in frame.side_data}
            assert np.array_equal(given.to_ndarray(), before)
            plain = av.VideoFrame.from_ndarray(alone, format=name)
            plain.color_range, plain.colorspace = given.color_range, given.colorspace
            assert np.array_equal(made.to_ndarray(), upscaler(plain).to_ndarray())


def test_a_tensor_with_a_gradient_is_only_read(upscaler: streamsr.Upscaler) -> None:
    made = upscaler(torch.rand(3, HEIGHT, WIDTH, requires_grad=True))
    assert not made.requires_grad
    assert not made.is_inference()


@given(
    shape=st.tuples(st.integers(9, 20), st.integers(9, 20)),
    channels=st.sampled_from([(), (1,), (3,), (4,)]),
    kind=st.sampled_from(DTYPES),
    first=st.booleans(),
    tensor=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_an_image_that_is_not_enlarged_comes_back_as_it_was(
    shape: tuple[int, int],
    channels: tuple[int, ...],
    kind: Any,
    first: bool,
    tensor: bool,
) -> None:
    image = as_dtype(pixels(*shape, *channels), kind)
    if channels and first:
        image = np.moveaxis(image, -1, 0)
    given_: Any = torch.from_numpy(image.copy()) if tensor else image
    opened = opened_array(numpy_of(given_))
    made = opened.restore(opened.frame(0))
    assert type(made) is type(given_)
    assert made.shape == given_.shape
    assert made.dtype == given_.dtype
    assert np.abs(levels_of(np.asarray(made)) - levels_of(image)).max() < 0.003


@given(kind=st.sampled_from(DTYPES[1:]))
@settings(deadline=None, max_examples=4)
def test_an_engine_of_8_bits_gives_other_dtypes_too(kind: Any) -> None:
    image = as_dtype(pixels(HEIGHT, WIDTH, 4), kind)
    opened = opened_array(numpy_of(image)).in_8_bits()
    assert opened.planes[0].dtype == np.uint8
    made = opened.restore(opened.frame(0))
    assert made.dtype == kind
    assert np.abs(levels_of(made) - levels_of(image)).max() < 0.01


def test_alpha_is_enlarged_beside_the_colours(network: streamsr.Upscaler) -> None:
    image = pixels(HEIGHT, WIDTH, 4)
    made = network(image)
    assert np.array_equal(made[..., 3], resized_samples(image[..., 3], 4 * WIDTH, 4 * HEIGHT))
    assert np.array_equal(made[..., :3], network(image[..., :3]))


def test_memory_of_whatever_order_is_read_and_never_written(upscaler: streamsr.Upscaler) -> None:
    image = pixels(HEIGHT, 2 * WIDTH, 3)
    expected = upscaler(np.ascontiguousarray(image[::-1, ::2, ::-1]))
    assert np.array_equal(upscaler(image[::-1, ::2, ::-1]), expected)
    frozen = image[::-1, ::2, ::-1].copy()
    frozen.flags.writeable = False
    made = upscaler(frozen)
    assert np.array_equal(made, expected)
    assert made.flags.writeable
    assert made.flags.c_contiguous
    swapped = upscaler(as_dtype(frozen, np.uint16).astype(">u2"))
    assert swapped.dtype == np.dtype(">u2")
    assert np.array_equal(swapped, upscaler(as_dtype(frozen, np.uint16)))


def test_a_buffer_may_be_used_again_at_once(network: streamsr.Upscaler) -> None:
    images = [pixels(HEIGHT, WIDTH, 3, seed=seed) for seed in range(12)]
    buffer = np.empty_like(images[0])

    def captured() -> Iterator[np.ndarray]:
        for image in images:
            buffer[...] = image
            yield buffer

    made = list(network.map(captured()))
    assert all(np.array_equal(a, b) for a, b in zip(made, network.map(images), strict=True))


@pytest.mark.parametrize(
    "shape", [(5, HEIGHT, WIDTH), (5, HEIGHT, WIDTH, 3), (5, 3, HEIGHT, WIDTH)]
)
@pytest.mark.parametrize("as_tensor", [False, True])
def test_an_array_of_images_is_a_clip(
    network: streamsr.Upscaler, shape: tuple[int, ...], as_tensor: bool
) -> None:
    clip: Any = torch.from_numpy(pixels(*shape)) if as_tensor else pixels(*shape)
    made = network(clip)
    assert type(made) is type(clip)
    assert np.array_equal(np.asarray(made), np.stack([np.asarray(m) for m in network.map(clip)]))
    assert np.array_equal(np.asarray(made), np.asarray(network.upscale(clip)))


def test_clips_in_an_array_have_nothing_to_do_with_each_other(network: streamsr.Upscaler) -> None:
    clips = pixels(2, 3, HEIGHT, WIDTH, 3)
    made = network(clips)
    assert made.shape == (2, 3, 4 * HEIGHT, 4 * WIDTH, 3)
    assert np.array_equal(made[1], network(clips[1]))


def test_the_layout_may_be_stated() -> None:
    image = pixels(3, 9, 4)
    with streamsr.Upscaler("bicubic", device="cpu", layout="chw") as upscaler:
        assert upscaler(image).shape == (3, 36, 16)
    with streamsr.Upscaler("bicubic", device="cpu", layout="hw") as upscaler:
        assert upscaler(image).shape == (3, 36, 16)  # three grey ones
        with pytest.raises(streamsr.InputError, match=r"got shape \(9,\), .* layout 'hw'"):
            upscaler(image[0, :, 0])


def test_planes_come_back_as_planes(network: streamsr.Upscaler) -> None:
    planes = pixels(HEIGHT, WIDTH), pixels(12, 16), pixels(12, 16, seed=2)
    luma, cb, cr = network(planes)
    assert (luma.shape, cb.shape, cr.shape) == ((96, 128), (48, 64), (48, 64))
    nv12 = network((planes[0], np.dstack(planes[1:])))
    assert np.array_equal(nv12[0], luma)
    assert np.array_equal(nv12[1], np.dstack([cb, cr]))
    tensors = network(tuple(map(torch.from_numpy, planes)))
    assert np.array_equal(np.asarray(tensors[2]), cr)


@pytest.mark.parametrize("layout", ["nv12", "i420"])
def test_planes_in_one_array_are_those_of_ffmpeg(layout: Any) -> None:
    name = "yuv420p" if layout == "i420" else "nv12"
    image = av.VideoFrame.from_ndarray(pixels(HEIGHT, WIDTH, 3), format="rgb24")
    image = image.reformat(format=name)
    packed = image.to_ndarray()
    with streamsr.Upscaler("bicubic", device="cpu", layout=layout) as upscaler:
        made = upscaler(packed)
        assert np.array_equal(made, upscaler(image).to_ndarray())
        assert np.array_equal(upscaler(np.stack([packed] * 2))[1], made)
        with pytest.raises(
            streamsr.InputError, match=r"\(35, 32\), allowed of '....' is \(h \* 3/2"
        ):
            upscaler(packed[:-1])


FORMATS = ("yuv420p", "yuvj420p", "nv12", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le")
FORMATS += ("rgb24", "bgr24", "rgb48le", "gbrp", "gray", "gray16le", "rgba", "bgra", "yuva420p")


@pytest.mark.parametrize("name", FORMATS)
def test_a_video_frame_keeps_its_format_time_and_colours(
    upscaler: streamsr.Upscaler, name: str
) -> None:
    ramp = np.linspace(16, 235, WIDTH).astype(np.uint8)
    rgb = np.dstack([np.tile(ramp, (HEIGHT, 1)), np.full((HEIGHT, WIDTH), 90, np.uint8)] * 2)[
        ..., :3
    ]
    image = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    image = image.reformat(format=name)
    image.pts, image.time_base, image.duration = 77, Fraction(1, 90_000), 3000
    made = upscaler.upscale(image)
    assert isinstance(made, av.VideoFrame)
    assert (made.format.name, made.width, made.height) == (name, 4 * WIDTH, 4 * HEIGHT)
    assert (made.pts, made.time_base, made.duration) == (77, Fraction(1, 90_000), 3000)
    shown = made.reformat(128, 96, "rgb24").to_ndarray().astype(int)[::4, 8:-8:4]
    before = image.reformat(format="rgb24").to_ndarray().astype(int)[:, 2:-2]
    assert np.abs(shown - before).max() <= 8, "a ramp, and its halved chroma"


def test_a_palette_becomes_the_colours_and_the_transparency_that_it_holds(
    upscaler: streamsr.Upscaler,
) -> None:
    palette = np.zeros((256, 4), np.uint8)
    palette[:3] = [[255, 200, 100, 50], [0, 200, 100, 50], [255, 10, 20, 30]]  # alpha first
    places = np.repeat(np.uint8([0, 1, 2, 0]), WIDTH // 4)[None].repeat(HEIGHT, 0)
    image = av.VideoFrame.from_ndarray((places, palette), format="pal8")
    made = upscaler(image)
    assert (made.format.name, made.width, made.height) == ("rgba", 4 * WIDTH, 4 * HEIGHT)
    middles = made.to_ndarray()[HEIGHT, WIDTH // 2 :: WIDTH]
    assert np.abs(middles.astype(int) - palette[[0, 1, 2, 0]][:, [1, 2, 3, 0]]).max() <= 2


def test_a_video_frame_without_a_time_base_gets_none(upscaler: streamsr.Upscaler) -> None:
    """An encoder takes its own then: another one would change how fast the video is."""
    for name in ("yuv420p", "rgb24", "rgba"):
        frame = av.VideoFrame(WIDTH, HEIGHT, name)
        frame.pts = 7
        made = upscaler(frame)
        assert (made.pts, made.time_base) == (7, None)


def test_an_image_of_pillow_stays_one(upscaler: streamsr.Upscaler) -> None:
    image = Pillow.fromarray(pixels(HEIGHT, WIDTH, 3))
    made = upscaler(image)
    assert isinstance(made, Pillow.Image)
    assert (made.mode, made.size) == ("RGB", (128, 96))
    assert upscaler.upscale(image).size == (128, 96)
    assert np.array_equal(np.asarray(made), upscaler(np.asarray(image)))
    with pytest.raises(streamsr.InputError, match=r"mode 'CMYK', allowed are .*convert\('RGB'\)"):
        upscaler(image.convert("CMYK"))


def test_what_numpy_can_read_is_read(upscaler: streamsr.Upscaler) -> None:
    class Camera:
        def __init__(self, *shape: int) -> None:
            self.samples = pixels(*shape)

        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return self.samples

    class Interface:
        def __init__(self, *shape: int) -> None:
            self.samples = pixels(*shape)

        @property
        def __array_interface__(self) -> dict[str, Any]:
            return self.samples.__array_interface__

    for kind in (Camera, Interface):
        for shape in ((HEIGHT, WIDTH, 3), (2, HEIGHT, WIDTH, 3), (1, 2, HEIGHT, WIDTH, 3)):
            given_ = kind(*shape)
            assert np.array_equal(upscaler(given_), upscaler(given_.samples))
            assert np.array_equal(upscaler.upscale(given_), upscaler(given_.samples))


def test_what_cannot_be_read_is_named(upscaler: streamsr.Upscaler) -> None:
    class OnAnotherDevice:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            raise TypeError("Implicit conversion is\nnot allowed")

    words = r"got .*OnAnotherDevice, whose samples cannot be read: Implicit conversion is not"
    with pytest.raises(streamsr.InputError, match=words):
        upscaler(OnAnotherDevice())
    with pytest.raises(streamsr.InputError, match=r"got torch\.Tensor, whose samples cannot"):
        torch.vmap(upscaler)(torch.zeros(2, 3, HEIGHT, WIDTH))


@pytest.mark.parametrize("side", [1, 2, 3, 7, 16])
def test_the_smallest_images_are_images(
    network: streamsr.Upscaler, waiting: streamsr.Model, side: int
) -> None:
    with streamsr.Upscaler(waiting.folder, engine=network.engine) as upscaler:
        for one in (network, upscaler):
            assert one(pixels(side, side, 3)).shape == (4 * side, 4 * side, 3)


WRONG = {
    "dtype int32": np.zeros((9, 9, 3), np.int32),
    "dtype bool": np.zeros((9, 9, 3), bool),
    "dtype complex64": np.zeros((9, 9, 3), np.complex64),
    r"not finite, allowed are 0 to 1": np.full((9, 9, 3), np.nan, np.float32),
    r"float32 values from 0 to 255, allowed are 0 to 1": np.float32([[0, 255]] * 2),
    r"shape \(9, 9, 2\), allowed are \(h, w\)": np.zeros((9, 9, 2), np.uint8),
    r"shape \(9, 9, 5\), allowed are \(h, w\)": np.zeros((9, 9, 5), np.uint8),
    r"shape \(9,\), allowed are": np.zeros(9, np.uint8),
    r"shape \(\), allowed are": np.uint8(3),
    r"shape \(0, 9, 3\), allowed are images with": np.zeros((0, 9, 3), np.uint8),
    r"shape \(0, 9, 9, 3\), allowed is one image": np.zeros((0, 9, 9, 3), np.uint8),
    r"got int 7, allowed are arrays": 7,
    r"got NoneType, allowed are arrays": None,
    r"got str 'in.png', allowed are arrays": "in.png",
    r"shapes \[\(8, 8\), \(8, 8\), \(8, 8\)\], allowed are": tuple(np.zeros((3, 8, 8), np.uint8)),
    r"planes: got dtype uint16, allowed is uint8": (
        np.zeros((8, 8), np.uint16),
        np.zeros((4, 4), np.uint16),
        np.zeros((4, 4), np.uint16),
    ),
}


NO_SAMPLES = ("float8_e4m3fn", "float8_e8m0fnu", "int8", "uint32", "bool", "complex64")


@pytest.mark.parametrize("kind", NO_SAMPLES)
def test_a_dtype_that_torch_alone_has_is_named(upscaler: streamsr.Upscaler, kind: str) -> None:
    image = torch.empty(3, 8, 8, dtype=getattr(torch, kind))
    with pytest.raises(streamsr.InputError, match=f"got dtype torch.{kind}, allowed are bfloat16"):
        upscaler(image)


@pytest.mark.parametrize("message", [*WRONG])
def test_what_is_no_image_is_named(upscaler: streamsr.Upscaler, message: str) -> None:
    with pytest.raises(streamsr.InputError, match=message):
        upscaler(WRONG[message])  # type: ignore[call-overload]
    assert upscaler(pixels(9, 9, 3)).shape == (36, 36, 3)  # and the next one is upscaled


@pytest.mark.parametrize("layout", ["foo", "HWC", ""])
def test_a_layout_that_there_is_not_is_refused(layout: Any) -> None:
    with pytest.raises(streamsr.InputError, match=f"layout: got '{layout}', allowed are hwc, chw"):
        streamsr.Upscaler("bicubic", device="cpu", layout=layout)


@pytest.mark.parametrize("before", [(2,), (2, 3)])
@pytest.mark.parametrize("is_nv12", [False, True])
def test_planes_of_a_clip_are_taken_at_once(
    upscaler: streamsr.Upscaler, before: tuple[int, ...], is_nv12: bool
) -> None:
    half = HEIGHT // 2, WIDTH // 2
    shapes = [(HEIGHT, WIDTH), (*half, 2)] if is_nv12 else [(HEIGHT, WIDTH), half, half]
    planes = tuple(pixels(*before, *shape, seed=n) for n, shape in enumerate(shapes))
    made = upscaler(planes)
    last = tuple(np.full(before, 1).nonzero()[axis][-1] for axis in range(len(before)))
    one = upscaler(tuple(plane[last] for plane in planes))
    assert [m.shape[: len(before)] for m in made] == [before] * len(planes)
    assert all(np.array_equal(m[last], o) for m, o in zip(made, one, strict=True))
