"""Interlaced files and cameras: every frame of one moment, at the right time."""

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from peers import RtspCamera
from peers.interlaced import combed, interlaced_clip, moments, telecined, woven

from streamsr.core.events import Code, Event
from streamsr.core.frame import Frame
from streamsr.media.source import SourceInfo
from streamsr.sources.files import FileSource
from streamsr.sources.interlace.deinterlace import Deinterlace, Deinterlacer
from streamsr.sources.live import LiveSource

Made = tuple[SourceInfo, list[Frame], list[Event]]


def read(path: Path, mode: Deinterlace = "auto") -> Made:
    events: list[Event] = []
    info: SourceInfo | None = None
    frames = []
    for item in FileSource(str(path), events.append, deinterlace=mode).items(threading.Event()):
        if isinstance(item, SourceInfo):
            assert not frames, "a file is known before its first frame"
            info = item
        elif isinstance(item, Frame):
            frames.append(item)
    assert info is not None
    return info, frames, events


def shown(frames: list[Frame], count: int = 60) -> list[int]:
    """The moments that frames show."""
    height, width = frames[0].planes[0].shape
    known = np.stack([luma for luma, *_ in moments(width, height, count)]).astype(int)
    return [int(np.abs(known - frame.planes[0]).mean((1, 2)).argmin()) for frame in frames]


def most_combed(frames: list[Frame]) -> float:
    return max(combed(frame.planes[0]) for frame in frames)


FORMATS = {
    "576i.ts": {"codec": "mpeg2video", "width": 160, "height": 576},
    "480i.ts": {"rate": Fraction(30_000, 1001), "top_first": False, "height": 240},
    "mbaff.mp4": {},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "unflagged.mp4": {"flagged": False, "height": 240},
    "unflagged_bottom_first.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "top_first": False}
    | {"flagged": False, "height": 240},
}


def lettering(count: int) -> Iterator[tuple[NDArray[np.uint8], ...]]:
    """Moments of thin letters that move by 7 pixels."""
    grey = np.full((120, 160), 128, np.uint8)
    for number in range(count):
        luma = np.full((240, 320), 30, np.uint8)
        for line in range(8):
            place = (number * 7 + line * 40) % 320 - 100, 20 + 28 * line
            cv2.putText(luma, f"Thin letters {line}", place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 220)
        yield luma, grey, grey.copy()


@pytest.mark.parametrize("mode", ["auto", "field"])
def test_the_first_and_the_last_frame_are_as_the_others(tmp_path: Path, mode: Deinterlace) -> None:
    """They have no frame beside them on one side, where bwdif makes more of what moves."""
    images = woven(lettering(24))
    path = interlaced_clip(tmp_path / "in.mp4", width=320, height=240, images=images)
    assert most_combed(read(path, "off")[1]) > 0.035
    assert most_combed(read(path, mode)[1]) < 0.003


@pytest.mark.parametrize("name", FORMATS)
def test_each_frame_is_of_one_moment(tmp_path: Path, name: str) -> None:
    path = interlaced_clip(tmp_path / name, **FORMATS[name])
    as_they_are = read(path, "off")[1]
    info, frames, events = read(path)
    order = "top" if FORMATS[name].get("top_first", True) else "bottom"
    assert info.scan == f"interlaced, {order} field first"
    assert [event.code for event in events] == [Code.SRC_INTERLACED]
    assert "input.deinterlace" in events[0].message
    assert min(combed(frame.planes[0]) for frame in as_they_are) > 0.035
    assert most_combed(frames) < 0.003
    assert shown(frames) == list(range(0, 60, 2))
    for name in ("time_s", "packet_bytes", "keyframe", "colour"):
        assert [getattr(f, name) for f in frames] == [getattr(f, name) for f in as_they_are]


@pytest.mark.parametrize("name", FORMATS)
def test_each_field_is_a_frame_where_that_is_asked_for(tmp_path: Path, name: str) -> None:
    path = interlaced_clip(tmp_path / name, **FORMATS[name])
    rate = 2 * Fraction(FORMATS[name].get("rate", 25))
    info, frames, _ = read(path, "field")
    as_they_are = read(path, "off")[1]
    assert (info.rate, info.frames) == (rate, 60)
    assert shown(frames) == list(range(60))
    start_s = as_they_are[0].time_s
    times = [frame.time_s - start_s for frame in frames]
    assert times == pytest.approx([float(n / rate) for n in range(60)], abs=2e-3)
    assert sum(f.packet_bytes for f in frames) == sum(f.packet_bytes for f in as_they_are)
    assert sum(f.keyframe for f in frames) == sum(f.keyframe for f in as_they_are)


@pytest.mark.parametrize("flagged", [False, True])
def test_progressive_frames_stay_as_they_are_however_flagged(tmp_path: Path, flagged: bool) -> None:
    path = interlaced_clip(tmp_path / "p.mp4", images=moments(192, 112, 30), flagged=flagged)
    info, frames, events = read(path)
    assert info.scan == ("progressive, flagged as interlaced" if flagged else "progressive")
    assert events == []
    for ours, wanted in zip(frames, read(path, "off")[1], strict=True):
        for plane, same in zip(ours.planes, wanted.planes, strict=True):
            np.testing.assert_array_equal(plane, same)


@pytest.mark.parametrize("what", [{"height": 180}, {"height": 240, "rate": 50}], ids=str)
def test_what_is_never_interlaced_is_not_looked_at(tmp_path: Path, what: dict[str, Any]) -> None:
    info, _, events = read(interlaced_clip(tmp_path / "small.mp4", flagged=False, **what))
    assert (info.scan, events) == ("progressive", [])


def test_a_still_scene_that_is_flagged_keeps_its_detail(tmp_path: Path) -> None:
    still = [next(iter(moments(192, 112, 1)))] * 20
    path = interlaced_clip(tmp_path / "still.mp4", images=still)
    info, frames, _ = read(path)
    assert info.scan == "flagged as interlaced"
    wanted = read(path, "off")[1][10].planes[0].astype(int)
    assert abs(frames[10].planes[0] - wanted).mean() < 0.5


def test_frames_that_begin_to_move_are_known_before_they_are_shown(tmp_path: Path) -> None:
    path = interlaced_clip(tmp_path / "late.mp4", flagged=False, still=40, height=240)
    _, frames, events = deinterlaced_late(path)
    assert len(frames) == 70
    assert most_combed(frames[41:]) < 0.003
    assert [event.code for event in events] == [Code.SRC_INTERLACED]


def deinterlaced_late(path: Path) -> tuple[list[SourceInfo], list[Frame], list[Event]]:
    events: list[Event] = []
    items = list(FileSource(str(path), events.append).items(threading.Event()))
    infos = [item for item in items if isinstance(item, SourceInfo)]
    assert [info.scan for info in infos] == ["progressive", "interlaced, top field first"]
    return infos, [item for item in items if isinstance(item, Frame)], events


def test_telecined_film_keeps_its_whole_frames(tmp_path: Path) -> None:
    path = interlaced_clip(tmp_path / "film.mp4", images=telecined(moments(192, 112, 24)), rate=30)
    _, frames, _ = read(path)
    as_they_are = read(path, "off")[1]
    assert most_combed(frames[5:]) < 0.003
    same = [
        np.array_equal(ours.planes[0], theirs.planes[0])
        for ours, theirs in zip(frames, as_they_are, strict=True)
    ]
    assert sum(same) >= 12  # of 18 that hold one moment
    assert [f.time_s for f in frames] == [f.time_s for f in as_they_are]


class Watched:
    """A live source, read until it has given so many frames."""

    def __init__(self, url: str, frames: int, **settings: Any) -> None:
        self.infos: list[SourceInfo] = []
        self.frames: list[Frame] = []
        self.events: list[Event] = []
        stop = threading.Event()
        for item in LiveSource(url, self.events.append, **settings).items(stop):
            if isinstance(item, SourceInfo):
                self.infos.append(item)
            elif isinstance(item, Frame):
                self.frames.append(item)
                if len(self.frames) == frames:
                    stop.set()


@pytest.mark.parametrize("flagged", [False, True])
def test_a_camera_that_is_interlaced(
    tmp_path: Path, rtsp_camera: Callable[..., RtspCamera], flagged: bool
) -> None:
    path = interlaced_clip(tmp_path / "camera.mp4", frames=50, flagged=flagged, height=240)
    seen = Watched(rtsp_camera(path).url, 40)
    assert seen.infos[-1].scan == "interlaced, top field first"
    assert Code.SRC_INTERLACED in [event.code for event in seen.events]
    assert most_combed(seen.frames[0 if flagged else 10 :]) < 0.003
    assert all(a.pts < b.pts for a, b in zip(seen.frames, seen.frames[1:], strict=False))
    assert all(a.arrived <= b.arrived for a, b in zip(seen.frames, seen.frames[1:], strict=False))


def test_a_progressive_camera_waits_for_nothing(
    tmp_path: Path, rtsp_camera: Callable[..., RtspCamera]
) -> None:
    path = interlaced_clip(tmp_path / "camera.mp4", images=moments(192, 112, 50), flagged=False)
    live = Watched(rtsp_camera(path).url, 20)
    assert [info.scan for info in live.infos] == ["progressive"]
    assert most_combed(live.frames) < 0.003


IMAGES = st.lists(
    st.tuples(
        st.sampled_from([(3, 4), (16, 17), (33, 35), (64, 48), (2, 2)]),
        st.sampled_from(["yuv420p", "yuv422p10le", "yuv411p", "nv12", "rgb24", "gray", "pal8"]),
        st.booleans(),  # it has nothing to do with the image before
        st.integers(1, 5000),  # ticks since that one
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(images=IMAGES, mode=st.sampled_from(["auto", "off", "frame", "field"]), waits=st.booleans())
def test_no_image_is_lost_whatever_comes(
    images: list[tuple[tuple[int, int], str, bool, int]], mode: Deinterlace, waits: bool
) -> None:
    deinterlacer = Deinterlacer(mode, lambda message: None, waits=waits)
    random, pts, made, expected = np.random.default_rng(1), 0, [], 0
    for (width, height), name, cut, ticks in images:
        image = av.VideoFrame(width, height, name)
        for plane in image.planes:
            samples = np.frombuffer(plane, np.uint8)
            samples[:] = random.integers(0, 256, len(samples))
        pts += ticks
        made += deinterlacer.frames(
            image, pts=pts, time_base=Fraction(1, 90_000), discontinuous=cut, packet_bytes=7
        )
        expected += 2 if mode == "field" and min(width, height) >= 16 else 1
    made += deinterlacer.flush()
    frames = [item for item in made if isinstance(item, Frame)]
    assert len(frames) == expected
    assert sum(frame.packet_bytes for frame in frames) == 7 * len(images)
    times = [frame.pts * frame.time_base for frame in frames]
    assert all(a < b for a, b in pairwise(times))


def test_a_camera_gives_a_frame_of_each_field_where_that_is_asked_for(
    tmp_path: Path, rtsp_camera: Callable[..., RtspCamera]
) -> None:
    path = interlaced_clip(tmp_path / "camera.mp4", frames=50)
    live = Watched(rtsp_camera(path).url, 60, deinterlace="field")
    assert live.infos[-1].rate == pytest.approx(50, rel=0.05)
    apart = [b.time_s - a.time_s for a, b in pairwise(live.frames)]
    assert apart == pytest.approx([0.02] * 59, abs=0.005)
    shows = shown(live.frames, 100)[12:]  # x264's flags name the wrong field: rows tell soon
    assert [b - a for a, b in pairwise(shows)] == [1] * 47
