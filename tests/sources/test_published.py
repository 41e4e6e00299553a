"""What is published, as a source: it comes and goes, and is read without any delay."""

import asyncio
import threading
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any

import pytest
from peers import FPS, packets
from peers.waiting import until

from streamsr.core.errors import InputError
from streamsr.core.events import Code, Event
from streamsr.core.frame import Frame
from streamsr.core.packet import Track
from streamsr.core.settings import InputSettings
from streamsr.ipc.broadcaster import Broadcaster
from streamsr.media.source import Item
from streamsr.serve.whip.publish_point import PublishPoint
from streamsr.sources.opening import open_source


@dataclass
class Publishing:
    """Publishes the clip in real time, at a publish point, while entered; its audio is left out."""

    point: PublishPoint
    audio: bool = False
    broadcaster: Broadcaster = field(default_factory=lambda: Broadcaster(lambda _: None))

    def end(self, why: str) -> None:
        self.broadcaster.close()

    async def __aenter__(self) -> "Publishing":
        self.point.claim(self)  # type: ignore[arg-type]
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        self.point.release(self)  # type: ignore[arg-type]
        self.broadcaster.close()

    async def _run(self) -> None:
        begun_s = monotonic()
        frames = (packet for packet in packets() if packet.track is Track.OUTPUT)
        for number, packet in enumerate(frames):
            await asyncio.sleep(max(0.0, begun_s + number / FPS - monotonic()))
            self.broadcaster.publish(replace(packet, track=Track.INPUT))


class Reading:
    """Reads a source in a thread, as a pipeline does."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.events: list[Event] = []
        self.items: list[Item] = []
        self._source = open_source(InputSettings(url=url, **settings), self.events.append)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)

    @property
    def frames(self) -> list[Frame]:
        return [item for item in self.items if isinstance(item, Frame)]

    def said(self, code: Code) -> list[str]:
        return [event.message for event in self.events if event.code is code]

    async def __aenter__(self) -> "Reading":
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 15)
        assert not self._thread.is_alive()

    def _read(self) -> None:
        for item in self._source.items(self._stop):
            self.items.append(item)


async def test_one_publisher_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # which nothing on loopback goes by
    async with PublishPoint() as point, Reading(point.address) as reading:
        async with Publishing(point):
            await until(lambda: len(reading.frames) > FPS)
            late_s = monotonic() - reading.frames[-1].arrived
            assert late_s < 0.2
        await until(lambda: reading.said(Code.SRC_DOWN))
        assert reading.said(Code.SRC_DOWN) == ["whip: its publisher has left"]
        before = len(reading.frames)
        async with Publishing(point):
            await until(lambda: len(reading.frames) > before + FPS)
        assert len(reading.said(Code.SRC_UP)) == 2
        times = [frame.pts * frame.time_base for frame in reading.frames]
        assert times == sorted(times)
        secret = point.address.rpartition("/")[2]
        assert secret not in repr(reading.events)


def test_without_a_server_there_is_nobody_to_take_it() -> None:
    with pytest.raises(InputError, match=r"input whip: got no \[serve\]"):
        open_source(InputSettings(url="whip"), lambda event: None)
