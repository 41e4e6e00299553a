"""A camera that sends JPEGs over HTTP: it says no times, and FFmpeg takes it for 25 fps."""

import threading
from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np
import pytest
from peers.web_camera import MultipartCamera

from streamsr.core.events import Code, Event
from streamsr.core.frame import Frame
from streamsr.core.settings import InputSettings
from streamsr.sources.files import FileSource
from streamsr.sources.live import LiveSource
from streamsr.sources.opening import open_source

RATE = 5.0


@pytest.fixture
def camera() -> Iterator[MultipartCamera]:
    levels = [np.full((90, 160, 3), level, np.uint8) for level in range(0, 250, 10)]
    with MultipartCamera([cv2.imencode(".jpg", image)[1].tobytes() for image in levels], RATE) as c:
        yield c


def test_it_plays_at_its_own_pace(camera: MultipartCamera) -> None:
    events: list[Event] = []
    source = open_source(InputSettings(url=camera.url), events.append)
    assert isinstance(source, LiveSource)
    stop, frames = threading.Event(), list[Frame]()
    for item in source.items(stop):
        if isinstance(item, Frame):
            frames.append(item)
        if len(frames) == 16:
            stop.set()
    steps = [b.time_s - a.time_s for a, b in pairwise(frames)]
    assert sum(steps) == pytest.approx(15 / RATE, abs=0.15)
    assert all(0.4 / RATE < step < 2 / RATE for step in steps)
    levels = [int(frame.planes[0].mean()) for frame in frames]
    assert all((b - a) % 256 for a, b in pairwise(levels)), "each frame is another"
    assert {event.code for event in events} == {Code.SRC_UP}
    assert not any(frame.discontinuous for frame in frames[1:])


@pytest.mark.parametrize("live", [True, False])
def test_what_the_user_says_of_it_counts(camera: MultipartCamera, live: bool) -> None:
    source = open_source(InputSettings(url=camera.url, live=live), lambda event: None)
    assert isinstance(source, LiveSource if live else FileSource)


def test_what_cannot_be_opened_is_read_as_a_file() -> None:
    """And refused as one, once it is read."""
    url = "http://127.0.0.1:9/film.mp4"
    assert isinstance(open_source(InputSettings(url=url), lambda event: None), FileSource)
