"""Packets that arrive in bursts, read ahead of their time by a thread of their own, and paced.

HLS gives a whole segment at once, then nothing for as long as one lasts.
"""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import queue
import threading
from collections.abc import Iterator
from typing import Any, Self

import av

from streamsr.sources.containers import demuxed

__all__ = ["Pacer", "ReadAhead"]

MOST_AHEAD = 4000  # packets: half a minute of video and audio; the thread waits when they are there
JOIN_S = 2.0  # a read that takes longer to end: the thread closes the container then
WINDOW_S = 30.0  # of the source, longer than any segment: what is queued is judged after so long
SEGMENTS = 3  # that FFmpeg begins before the newest one: no more than these have to be queued
SLEW_S = 0.001  # a frame: too little to see or to hear
JUMP_S = 3.0  # between two frames: stamps that jumped, or segments that were left out


class ReadAhead:
    """Owns an open container and reads ``streams`` of it. Enter it, then read ``packets``."""

    def __init__(
        self,
        container: av.container.InputContainer,
        streams: list[av.VideoStream | av.AudioStream],
    ) -> None:
        self._container = container
        self._streams = streams
        self.newest_s: float | None = None  # seconds of the source: the newest frame that is read
        self._queue: queue.Queue[av.Packet[Any] | Exception | None] = queue.Queue(MOST_AHEAD)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="read-ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        while not self._queue.empty():  # it may wait for room
            self._queue.get_nowait()
        self._thread.join(JOIN_S)

    def packets(self, tick_s: float) -> Iterator[av.Packet[Any] | None]:
        """Yields packets to the end, and None whenever none came for ``tick_s``.

        Raises what reading raised, av.FFmpegError or OSError, once all before it was yielded.
        """
        while True:
            try:
                item = self._queue.get(timeout=tick_s)
            except queue.Empty:
                yield None
                continue
            if isinstance(item, Exception):
                raise item
            if item is None:
                return
            yield item

    def _read(self) -> None:
        end: Exception | None = None
        try:
            for packet in demuxed(self._container, self._streams):
                self._put(packet)
                if packet.stream.type == "video" and packet.dts is not None:
                    self.newest_s = float(packet.dts * packet.time_base)
                if self._stop.is_set():
                    break
        except (av.FFmpegError, OSError, ValueError) as error:
            end = error
        finally:
            self._container.close()
        self._put(end)

    def _put(self, item: av.Packet[Any] | Exception | None) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.5)
            except queue.Full:
                continue
            return


class Pacer:
    """Says when what was read ahead is due, by its stamps. Pure: time comes in as an argument.

    A late frame makes all after it later. Where more stays queued than there was at first, they
    become earlier again, a little a frame; audio that finds no place then is counted as late.
    """

    def __init__(self) -> None:
        self._offset_s: float | None = None  # seconds of the source to monotonic ones
        self._newest_s = 0.0  # seconds of the source: the newest frame
        self._window_s = 0.0  # likewise: since when the least and the most were queued
        self._queued: list[float] = []  # seconds, the least and the most; none: not known
        self._surplus_s = 0.0  # that is still to be caught up

    def read_to(self, source_s: float | None) -> None:
        """Takes how far it was read ahead."""
        queued_s = -1.0 if source_s is None else source_s - self._newest_s
        if self._offset_s is not None and queued_s >= 0:
            self._queued = [min([queued_s, *self._queued]), max([queued_s, *self._queued])]

    def frame(self, source_s: float | None, now_s: float) -> float:
        """Returns when a frame is due, monotonic: now, where it is late or its stamp jumped."""
        if source_s is None:
            return now_s
        jumped = not 0 <= source_s - self._newest_s <= JUMP_S
        self._newest_s = source_s
        if self._offset_s is None or jumped or source_s + self._offset_s < now_s:
            self._offset_s = now_s - source_s
            self._judge_from(source_s, surplus_s=0.0)
        if source_s - self._window_s >= WINDOW_S and self._queued:
            least_s, most_s = self._queued  # between them is a segment, which comes at once
            self._judge_from(source_s, surplus_s=max(0.0, least_s - SEGMENTS * (most_s - least_s)))
        step_s = min(SLEW_S, self._surplus_s)
        self._surplus_s -= step_s
        self._offset_s = max(self._offset_s - step_s, now_s - source_s)
        return source_s + self._offset_s

    def _judge_from(self, source_s: float, surplus_s: float) -> None:
        self._window_s, self._queued, self._surplus_s = source_s, [], surplus_s

    def audio(self, source_s: float, now_s: float) -> float:
        """Returns when a piece of audio is due, which may be in the past."""
        return now_s if self._offset_s is None else source_s + self._offset_s
