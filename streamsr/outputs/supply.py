"""What an output's processes are fed with, one after the other, and the count of what was lost.

A bounded queue lies between the stream and an output, which goes on at a keyframe when it was full:
the stream goes on whatever an output does.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from streamsr.core.packet import Packet, Track
from streamsr.core.settings import PublishSettings
from streamsr.core.status import StreamStatus
from streamsr.ipc.broadcaster import Broadcaster, EndOfStream
from streamsr.ipc.feed import Kind, encode, encode_packet
from streamsr.outputs.arrival import Arrival
from streamsr.outputs.feeding import PublisherProcess
from streamsr.outputs.packet_queue import Backlog
from streamsr.outputs.target import Target

__all__ = ["Supply"]

FACTS_S = 2.0  # for the stream's rate to be known, once there are packets
QUEUED = 256  # packets: three seconds of a stream with audio
QUEUED_ALL = 4096  # the same where none may be lost


class Supply:
    """The packets that one output is to get, across the lives of its processes.

    For each process: ``begin()``, ``pump()`` until it is cancelled, ``settle()``.
    """

    def __init__(
        self,
        settings: Target,
        broadcaster: Broadcaster,
        status: Callable[[], StreamStatus],
        arrival: Arrival,
    ) -> None:
        self._settings = settings
        self._broadcaster = broadcaster
        self._status = status
        self._arrival = arrival
        self._backlog: Backlog | None = None  # while the stream is subscribed to
        self._lost = 0  # packets of subscriptions and processes that have ended

    @property
    def dropped(self) -> int:
        """Packets that were not delivered."""
        return self._lost + (self._backlog.dropped if self._backlog else 0)

    def begin(self) -> Backlog:
        """What the next process is to get: the stream from a keyframe on, or what is kept."""
        if self._backlog is None:
            self._backlog = self._subscribed()
        elif not self._backlog.keeps:
            self._broadcaster.request_keyframe()  # what is queued may begin anywhere
        return self._backlog

    async def pump(self, link: PublisherProcess, backlog: Backlog) -> None:
        """Hand packets on, as many as the process takes."""
        told = None
        try:
            while True:
                packet = await backlog.receive()
                begins = told is None and backlog.keeps
                try:
                    told = await self._hand_on(packet, link, told)
                except BaseException:  # the packet in hand is lost, cancelled or not
                    self._lost += not backlog.keeps
                    raise
                if begins:
                    await link.all_taken()
                    backlog.keep_pace()
        except EndOfStream:
            link.finish()

    def settle(self, link: PublisherProcess, backlog: Backlog) -> None:
        """Count what a process had and did not take, unless the next one gets it again."""
        if backlog.keeps:
            backlog.rewind()
            return
        self._lost += link.underway
        if isinstance(self._settings, PublishSettings):
            self.end()  # a server wants what is live, a disk what it missed

    def release(self) -> None:
        """What was handed on has arrived: keep nothing of it any more."""
        if self._backlog is not None:
            self._backlog.release()

    def close(self) -> None:
        """Take no more of the stream: what is queued is the last of it."""
        if self._backlog is not None:
            self._broadcaster.unsubscribe(self._backlog.subscription)

    def end(self) -> None:
        """Leave the stream, and count what is still here as lost."""
        backlog, self._backlog = self._backlog, None
        if backlog is not None:
            self._broadcaster.unsubscribe(backlog.subscription)
            self._lost += backlog.dropped + backlog.held

    async def _hand_on(
        self, packet: Packet, link: PublisherProcess, told: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Send a packet, and before it what is true of the stream, unless that was told."""
        self._arrival.begin()
        facts = await self._facts(told)
        if facts != told:
            link.send(encode(Kind.FACTS, facts))
        await link.send_packet(encode_packet(packet))
        return facts

    async def _facts(self, told: dict[str, Any] | None) -> dict[str, Any]:
        """What the process has to know of the stream: what is true now, or else what was.

        Without a source there is no rate: before the first status, packets may be ahead of it, and
        a worker that is being replaced says nothing of the audio that is coming back.
        """
        status = self._status()
        deadline = asyncio.get_running_loop().time() + FACTS_S
        while told is None and not status.rate and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)  # nothing tells us about it
            status = self._status()
        if told is not None and not status.rate:
            return told
        return {"rate": status.rate, "audio": self._settings.audio and status.audio}

    def _subscribed(self) -> Backlog:
        tracks = {Track.OUTPUT, Track.AAC} if self._settings.audio else {Track.OUTPUT}
        arrival = self._arrival
        subscription = self._broadcaster.subscribe(
            tracks, QUEUED_ALL if arrival.demanded else QUEUED
        )
        return Backlog(subscription, keep=arrival.demanded and not arrival.reached)
