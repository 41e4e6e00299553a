"""What a source of somebody else's yields becomes frames in their time, or a fault with a name."""

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from streamsr.core.errors import InputError, SourceAuthError, SourceError
from streamsr.core.events import Code, Event
from streamsr.core.frame import Frame
from streamsr.core.settings import InputSettings
from streamsr.media.source import Item, SourceInfo
from streamsr.plugins.registry import Kind, register
from streamsr.sources.opening import open_source

GREY = np.full((16, 24, 3), 128, np.uint8)


class Scripted:
    """Yields what it is given; what is an exception is raised."""

    def __init__(self, items: list[Any], *, rate: float = 25.0, live: bool = False) -> None:
        self.rate, self.live = rate, live
        self.closed = False
        self._items = items

    def frames(self, stop: threading.Event) -> Iterator[Any]:
        try:
            for item in self._items:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self.closed = True


def items_of(
    make: Callable[[str], Any],
    events: list[Event] | None = None,
    *,
    frames: int | None = None,
    **more: Any,
) -> list[Item]:
    """What comes of a source until its end, or until so many frames."""
    stop, found = threading.Event(), list[Item]()
    with register(Kind.SOURCE, "script", make):
        tell = (events if events is not None else []).append
        source = open_source(InputSettings(url="script://x?n=1", **more), tell)
        for item in source.items(stop):
            found.append(item)
            if frames is not None and sum(isinstance(i, Frame) for i in found) == frames:
                stop.set()
    return found


def frames_in(items: list[Item]) -> list[Frame]:
    return [item for item in items if isinstance(item, Frame)]


def test_images_are_described_timed_and_copied() -> None:
    def reused() -> Iterator[np.ndarray]:
        image = np.zeros((16, 24, 3), np.uint8)
        for level in range(3):
            image[:] = level
            yield image

    made: list[str] = []

    class Reusing(Scripted):
        def frames(self, stop: threading.Event) -> Iterator[Any]:
            return reused()

    def make(address: str) -> Scripted:
        made.append(address)
        return Reusing([], rate=29.97)

    info, *frames = items_of(make)
    assert made == ["script://x?n=1"]
    assert isinstance(info, SourceInfo)
    assert (info.size, info.rate) == ("24x16", Fraction(30000, 1001))
    seen = frames_in(frames)
    assert [int(frame.planes[0].mean()) for frame in seen] == [0, 1, 2]
    assert [frame.time_s for frame in seen] == pytest.approx([0, 0.03337, 0.06673], abs=1e-4)
    assert [frame.discontinuous for frame in seen] == [True, False, False]


def test_times_of_ones_own_are_kept() -> None:
    pairs = [(GREY, 1.5), (GREY, np.float64(1.54)), (GREY, 3)]
    seen = frames_in(items_of(lambda url: Scripted(pairs)))
    assert [frame.time_s for frame in seen] == pytest.approx([1.5, 1.54, 3.0], abs=1e-4)


def test_images_of_pyav_in_any_pixel_format() -> None:
    rgb = av.VideoFrame.from_ndarray(GREY, "rgb24")
    kinds = ["yuv420p", "nv12", "yuv422p10le", "gray", "rgb24"]
    images = [rgb.reformat(format=kind) for kind in kinds]
    for number, image in enumerate(images):
        image.pts, image.time_base = number, Fraction(1, 10)
    seen = frames_in(items_of(lambda url: Scripted(images)))
    assert [frame.time_s for frame in seen] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert {(frame.width, frame.height, frame.depth) for frame in seen} == {(24, 16, 8)}


def test_grey_images_are_grey() -> None:
    seen = frames_in(items_of(lambda url: Scripted([GREY[..., 0], GREY[..., :1]])))
    assert [np.array_equal(frame.planes[0], GREY) for frame in seen] == [True, True]


def test_another_size_is_described_again() -> None:
    items = items_of(lambda url: Scripted([GREY, GREY, GREY[:8], GREY]))
    assert [type(item) for item in items] == [
        *(SourceInfo, Frame, Frame, SourceInfo, Frame, SourceInfo, Frame)
    ]


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("frame", "got str, allowed is an array"),
        (None, "got NoneType"),
        (GREY[0, 0], r"shape \(3,\), allowed is \(height, width, 3\) of uint8"),
        (GREY.astype(np.float32), "array of float32"),
        (np.zeros((0, 4, 3), np.uint8), r"shape \(0, 4, 3\)"),
        (np.zeros((4, 4, 4), np.uint8), r"shape \(4, 4, 4\)"),
        ((GREY,), "a tuple of 1"),
        ((GREY, "1"), "a tuple of 2"),
        ((GREY, float("nan")), "the time nan"),
        ((GREY, float("inf")), "the time inf"),
        ((GREY, 1e12), "the time 1000000000000"),
    ],
    ids=str,
)
def test_what_is_no_frame_ends_it_though_it_be_live(item: Any, words: str, *, live: bool) -> None:
    script = Scripted([GREY, item], live=live)
    with pytest.raises(InputError, match=f"source 'script' of this program: frame 1: .*{words}"):
        items_of(lambda url: script)
    assert script.closed


def test_a_time_that_is_not_later_is_a_fault_of_a_file() -> None:
    with pytest.raises(InputError, match=r"frame 2: got the time 0.04 s, allowed is one after"):
        items_of(lambda url: Scripted([(GREY, 0), (GREY, 0.04), (GREY, 0.04)]))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda url: None, "got NoneType without 'rate'"),
        (lambda url: Scripted([], rate=0), "rate: got 0, allowed is a number from 0.01 to 240"),
        (lambda url: Scripted([], rate="fast"), "rate: got 'fast', allowed"),  # type: ignore[arg-type]
        (lambda: None, "TypeError"),
        (lambda url: 1 / 0, "ZeroDivisionError"),
        (lambda url: Scripted([GREY, KeyError("no such row")]), "KeyError: 'no such row'"),
        (lambda url: Scripted([GREY, SystemExit(3)]), "SystemExit: 3"),
    ],
)
def test_what_fails_is_named(make: Callable[[str], Any], words: str) -> None:
    with pytest.raises(InputError, match=f"source 'script' of this program: .*{words}"):
        items_of(make)


def test_secrets_of_an_address_are_not_told() -> None:
    def make(address: str) -> Any:
        raise ValueError(address)

    with register(Kind.SOURCE, "script", make), pytest.raises(InputError) as caught:
        open_source(InputSettings(url="script://me:geheim99@x"), lambda event: None)
    assert "geheim99" not in str(caught.value)


def test_a_live_one_is_made_again_when_it_ends_or_fails_and_its_time_goes_on() -> None:
    scripts = [[GREY], [GREY, ConnectionError("gone")], [GREY, GREY]]
    made: list[Scripted] = []
    events: list[Event] = []

    def make(address: str) -> Scripted:
        made.append(
            Scripted(
                [(image, 0.0) if image is GREY else image for image in scripts[len(made)]],
                live=True,
            )
        )
        return made[-1]

    seen = frames_in(items_of(make, events, frames=3))
    assert len(made) == 3
    assert all(script.closed for script in made)
    ticks = [frame.pts for frame in seen]
    assert ticks == sorted(set(ticks))
    assert all(frame.discontinuous for frame in seen)
    codes = [event.code for event in events]
    assert codes == [Code.SRC_UP, Code.SRC_DOWN, Code.SRC_UP, Code.SRC_DOWN, Code.SRC_UP]
    assert "the stream ended" in events[1].message
    assert "ConnectionError: gone" in events[3].message


def test_a_live_one_that_never_comes_is_given_up() -> None:
    with pytest.raises(SourceError, match=r"input script://x.*ConnectionError"):
        items_of(lambda url: Scripted([ConnectionError("no")], live=True), give_up_s=0.2)


def test_refused_credentials_are_not_tried_often() -> None:
    events: list[Event] = []
    with pytest.raises(SourceAuthError):
        items_of(
            lambda url: Scripted([SourceAuthError("who are you")], live=True), events, give_up_s=5.0
        )
