"""Two streams of one scene are aligned to a frame and to a fraction of a pixel, or refused."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from two_streams import Crop, Luma, demo_frames, two_streams, yard_frames

from streamsr.core.errors import InputError
from streamsr.core.settings import InputSettings
from streamsr.sources.demo import bitmap
from streamsr.train.teach.alignment import Alignment, align
from streamsr.train.teach.pair_clips import planned
from streamsr.train.teach.recording import Recorded
from streamsr.train.teach.thumbnails import thumbnails_of, told_apart

CROPPED = Crop(16, 8, 288, 162)
STREAMS = {  # what the two streams are made with
    "pan, cropped, 300 ms": (demo_frames, 150, {"lag": 8, "crop": CROPPED}),
    "half the rate, MPEG-4": (demo_frames, 200, {"every": 2, "lag": 7, "codec": "mpeg4"}),
    "hanging, cropped, seconds apart, H.265": (
        yard_frames,
        250,
        {"lag": 60, "every": 2, "crop": Crop(70, 30, 200, 130), "codec": "libx265"},
    ),
    "4:3 of 16:9": (yard_frames, 120, {"lag": 3, "crop": Crop(40, 0, 240, 180)}),
    "squeezed, B-frames": (yard_frames, 120, {"lag": 3, "sub_size": (120, 96), "b_frames": 3}),
    "a clock that drifts": (yard_frames, 320, {"lag": 5, "drift": 2e-3}),
    "lost, and back with another delay": (yard_frames, 300, {"lag": 5, "held": (120, 1.4)}),
}


def of(main: Path, sub: Path) -> Alignment:
    return align(Recorded(InputSettings(url=str(main)), InputSettings(url=str(sub)), None))


@pytest.mark.parametrize("kind", STREAMS)
def test_every_frame_gets_the_one_of_its_moment(kind: str, tmp_path: Path) -> None:
    frames, count, how = STREAMS[kind]
    made: dict[str, Any] = dict(how)
    found = of(*two_streams(tmp_path, frames(count), **made))
    lag, every = made["lag"], made.get("every", 1)
    matches = found.matches
    assert [*matches.mains] == [lag + every * number for number in matches.subs]
    assert len(matches.subs) > 0.95 * (count - lag) / every
    crop = made.get("crop", Crop(0, 0, 320, 180))
    geometry = found.geometry
    shown = geometry.left * 320, geometry.top * 180, geometry.width * 320, geometry.height * 180
    assert shown == pytest.approx((crop.left, crop.top, crop.width, crop.height), abs=0.15)
    assert matches.drift == pytest.approx(-made.get("drift", 0.0), abs=1e-4)
    assert found.agreement.alike > 0.95


def test_what_only_one_of_them_shows_is_left_out(tmp_path: Path) -> None:
    """A short recording of two streams seconds apart: neither end has a counterpart."""
    scene = list(yard_frames(202))
    main, _ = two_streams(tmp_path / "main", scene[:154])
    _, sub = two_streams(tmp_path / "sub", scene[48:])
    matches = of(main, sub).matches
    assert [*matches.mains] == [number + 48 for number in matches.subs]
    assert len(matches.subs) > 100


def with_clock(frames: Iterator[Luma]) -> Iterator[Luma]:
    for number, frame in enumerate(frames):
        text = bitmap(f"{number:08d}").repeat(2, 0).repeat(2, 1)
        box = frame[8 : 8 + text.shape[0], 8 : 8 + text.shape[1]]
        box[...] = np.where(text, 235, 16)
        yield frame


def flat(count: int) -> Iterator[Luma]:
    for _ in range(count):
        yield np.full((180, 320), 18, np.uint8)


def enlarged(frames: Iterator[Luma]) -> Iterator[Luma]:
    for frame in frames:
        small = cv2.resize(frame, (160, 90), interpolation=cv2.INTER_AREA)
        yield np.asarray(cv2.resize(small, (320, 180), interpolation=cv2.INTER_CUBIC), np.uint8)


def with_texts(frames: Iterator[Luma], size: int, top: int) -> Iterator[Luma]:
    for frame in frames:
        text = bitmap("12:34:56").repeat(size, 0).repeat(size, 1)
        box = frame[top : top + text.shape[0], 12 : 12 + text.shape[1]]
        box[...] = np.where(text, 235, 16)
        yield frame


def test_what_is_written_over_one_of_them_is_not_learnt(tmp_path: Path) -> None:
    main, _ = two_streams(tmp_path / "main", with_texts(yard_frames(60), 2, 8))
    _, sub = two_streams(tmp_path / "sub", with_texts(yard_frames(60), 3, 150))
    found = of(main, sub)
    assert found.overlaid is not None
    assert found.overlaid[4:11, 6:60].mean() > 0.9  # the main stream's
    assert found.overlaid[75:85, 6:90].mean() > 0.9
    assert found.overlaid.mean() < 0.25
    assert [*found.matches.mains] == [*found.matches.subs]
    assert of(*two_streams(tmp_path, yard_frames(60))).overlaid is None


def turned(frames: Iterator[Luma], how: Callable[[Luma], Luma]) -> Iterator[Luma]:
    for frame in frames:
        yield np.ascontiguousarray(how(frame))


REFUSED = {  # frames of the main stream, of the sub-stream, and what is said
    "another scene": (lambda: yard_frames(60, 1), lambda: yard_frames(60, 2), "same scene"),
    "another pan": (lambda: demo_frames(60), lambda: yard_frames(60, 3), "same scene"),
    "the same clock": (
        lambda: with_clock(yard_frames(60, 4)),
        lambda: with_clock(yard_frames(60, 5)),
        "same scene",
    ),
    "mirrored": (
        lambda: yard_frames(60),
        lambda: turned(yard_frames(60), np.fliplr),
        "--sub seems to be mirrored$",
    ),
    "on its side": (
        lambda: yard_frames(60),
        lambda: turned(yard_frames(60), np.rot90),
        "--sub seems to be turned by 90 degrees to the left$",
    ),
    "the same camera, at another time": (
        lambda: yard_frames(60, 2),
        lambda: yard_frames(60, 2, things=9),
        "what moves correlates by .* same time$",
    ),
    "black": (lambda: flat(60), lambda: flat(60), "0% of the frame has detail.* in the dark"),
    "a clock alone": (
        lambda: with_clock(flat(60)),
        lambda: with_clock(flat(60)),
        "of the frame has detail",
    ),
    "enlarged": (
        lambda: enlarged(yard_frames(60)),
        lambda: enlarged(yard_frames(60)),
        "not sharper than --sub enlarged",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_teaches_nothing_is_refused(kind: str, tmp_path: Path) -> None:
    mains, subs, said = REFUSED[kind]
    main, _ = two_streams(tmp_path / "main", mains())
    _, sub = two_streams(tmp_path / "sub", subs())
    with pytest.raises(InputError, match=said):
        of(main, sub)


def test_exchanged_streams_are_named(tmp_path: Path) -> None:
    main, sub = two_streams(tmp_path, yard_frames(20))
    with pytest.raises(InputError, match=r"got 160x90 pixels.* 320x180: are they exchanged"):
        of(sub, main)


def test_a_stream_of_a_few_frames_is_refused(tmp_path: Path) -> None:
    main, sub = two_streams(tmp_path, yard_frames(6))
    with pytest.raises(InputError, match="got 6 frames, allowed are 8 and more"):
        of(main, sub)


def test_a_long_recording_is_aligned_at_some_times_of_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory is bounded, and each frame that is kept gets the one of its moment."""
    monkeypatch.setattr("streamsr.train.teach.thumbnails.MOST", 130)
    monkeypatch.setattr("streamsr.train.teach.thumbnails.BLOCK_S", 1.6)
    found = of(*two_streams(tmp_path, yard_frames(320), lag=5))
    subs = found.sub.numbers[found.matches.subs]
    assert [*found.main.numbers[found.matches.mains]] == [5 + number for number in subs]
    assert max(len(found.main.images), len(found.sub.images)) <= 130
    assert len(subs) > 60
    assert subs[-1] > 190
    monkeypatch.setattr("streamsr.train.teach.pair_clips.TRAINED", 0.1)
    monkeypatch.setattr("streamsr.train.teach.pair_clips.CHOSEN", 0.9)
    whole = planned(found, 1200, 8)
    assert all((np.diff(clip.subs) == 1).all() for clip in whole)
    assert all((clip.mains == clip.subs + 5).all() for clip in whole)


def test_other_recordings_are_told_apart(tmp_path: Path) -> None:
    main, sub = (InputSettings(url=str(path)) for path in two_streams(tmp_path, yard_frames(60)))

    def told(most_s: float | None, *settings: InputSettings) -> str:
        return told_apart(*(thumbnails_of(one, most_s, lambda count: None) for one in settings))

    assert told(None, main, sub) == told(60.0, main, sub)
    assert len({told(None, main, sub), told(1.0, main, sub), told(None, main, main)}) == 3
