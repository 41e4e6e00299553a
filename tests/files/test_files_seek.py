"""What goes on in the middle of a file begins at a keyframe before it, and is the same."""

import hashlib
from collections.abc import Callable
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from streamsr.files.work import FileResult
from streamsr.sources.timing.decoded import DecodedFrames

Run = Callable[..., tuple[list[FileResult], Any]]
FRAMES, STOPPED_AT = 120, 96


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What is decoded: an entry a frame."""
    images: list[int] = []
    real = DecodedFrames.of

    def of(self: DecodedFrames, *arguments: Any) -> Any:
        images.append(len(images))
        return real(self, *arguments)

    monkeypatch.setattr(DecodedFrames, "of", of)
    return images


def video(
    path: Path,
    size: tuple[int, int] = (48, 32),
    frames: int = FRAMES,
    options: dict[str, str] | None = None,
) -> Path:
    """Something that moves, coded with B-frames, a keyframe a second."""
    width, height = size
    noise = np.random.default_rng(1).integers(0, 255, (height, width + frames), np.uint8)
    noise = cv2.GaussianBlur(noise, (0, 0), 2)
    with av.open(str(path), "w") as made:
        stream = made.add_stream(
            "libx264", rate=25, options={"g": "25", "bf": "2"} | (options or {})
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            planes = noise[:, number : number + width], np.full((height // 2, width), 128, np.uint8)
            image = av.VideoFrame.from_ndarray(np.concatenate(planes), format="yuv420p")
            image.pts, image.time_base = number, Fraction(1, 25)
            made.mux(stream.encode(image))
        made.mux(stream.encode())
    return path


def contents(path: Path) -> list[object]:
    """Every packet of a file, or the bytes of every image of a folder."""
    if path.is_dir():
        return [(one.name, one.read_bytes()) for one in sorted(path.iterdir())]
    with av.open(str(path)) as container:
        return [
            (p.pts, p.dts, hashlib.sha256(bytes(p)).hexdigest())
            for p in container.demux()
            if p.size
        ]


def goes_on(run: Run, source: Path, folder: Path, **settings: Any) -> None:
    """Asserts that a file that was stopped and goes on comes out as in one go."""
    settings = {"encoder": {"gop_s": 0.4}} | settings
    (result,), _ = run(source, folder / "out", STOPPED_AT, **settings)
    assert result.state == "stopped", result.why
    (result,), watched = run(source, folder / "out", **settings)
    assert (result.state, result.frames) == ("done", FRAMES), result.why
    assert watched.frames < FRAMES - STOPPED_AT + 30
    run(source, folder / "whole", **settings)
    name = result.output.rpartition("/")[2]
    assert contents(folder / "out" / name) == contents(folder / "whole" / name)


@pytest.mark.parametrize(
    ("ending", "size", "model", "again"),
    [
        (".mp4", (48, 32), "bicubic", 50),
        (".mkv", (48, 32), "fast-small", 50),
        (".mov", (32, 240), "bicubic", 65),  # what may be interlaced is looked at, 16 ahead
        (".ts", (48, 32), "bicubic", None),
        (".avi", (48, 32), "bicubic", None),
    ],
)
def test_it_begins_at_a_keyframe_where_the_container_has_an_index(
    ending: str,
    size: tuple[int, int],
    model: str,
    again: int | None,
    run: Run,
    decoded: list[int],
    tmp_path: Path,
) -> None:
    source = video(tmp_path / f"a{ending}", size)
    settings = {"model": {"name": model}, "encoder": {"gop_s": 0.4}}
    run(source, tmp_path / "out", STOPPED_AT, **settings)
    decoded.clear()
    (result,), _ = run(source, tmp_path / "out", **settings)
    assert result.state == "done", result.why
    most = FRAMES if again is None else result.upscaled + again
    assert result.upscaled < len(decoded) <= most
    assert (len(decoded) == FRAMES) == (again is None)
    run(source, tmp_path / "whole", **settings)
    made, whole = ([*(tmp_path / name).glob("a.*")] for name in ("out", "whole"))
    assert [contents(path) for path in made] == [contents(path) for path in whole]


def test_a_wrong_index_is_found_out(
    run: Run, decoded: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where what it takes for a keyframe is none."""
    source = video(tmp_path / "a.mp4", options={"g": "60"})
    real, moved = av.container.InputContainer.seek, count()

    class Elsewhere:
        def __init__(self, container: Any) -> None:
            self._container = container

        def __getattr__(self, name: str) -> Any:
            return getattr(self._container, name)

        def seek(self, offset: int, **options: Any) -> None:
            next(moved)
            real(self._container, offset, any_frame=True, **options)

    from streamsr.sources.timing import seeking

    before = seeking.seek_before
    monkeypatch.setattr(
        "streamsr.sources.files.seek_before", lambda c, *more: before(Elsewhere(c), *more)
    )
    goes_on(run, source, tmp_path, model={"name": "bicubic"})
    assert next(moved) == 1
    assert len(decoded) > 2 * FRAMES


def test_frames_before_a_keyframe_that_look_at_others_are_not_taken(
    run: Run, tmp_path: Path
) -> None:
    options = {"x264-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3:b-adapt=0:scenecut=0"}
    source = video(tmp_path / "a.mkv", options=options)
    goes_on(run, source, tmp_path, model={"name": "fast-small"})


def test_images_that_are_done_are_not_read_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "frames"
    source.mkdir()
    ramp = np.linspace(0, 255, 32 * 24 * 3).reshape(24, 32, 3)
    for number in range(FRAMES):
        cv2.imwrite(str(source / f"f{number}.png"), np.roll(ramp, number, 1).astype(np.uint8))
    from streamsr.media import images

    read: list[str] = []
    real = images.read_image

    def read_image(path: Path, **options: Any) -> Any:
        read.append(path.name)
        return real(path, **options)

    monkeypatch.setattr(images, "read_image", read_image)
    settings = {"model": {"name": "bicubic"}, "encoder": {"gop_s": 0.4}}
    run(source, tmp_path / "out", STOPPED_AT, **settings)
    read.clear()
    (result,), _ = run(source, tmp_path / "out", **settings)
    assert result.state == "done", result.why
    assert "f1.png" not in read
    assert len(read) < 60
    run(source, tmp_path / "whole", **settings)
    assert contents(tmp_path / "out/frames") == contents(tmp_path / "whole/frames")
