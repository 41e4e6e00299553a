"""Running outputs of a studio, what they said, and what they recorded."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamsr.core.events import Code, Event
from streamsr.core.settings import HlsSettings, PublishSettings, RecordSettings
from streamsr.outputs.output import Publisher
from streamsr.outputs.retention import recording_of

from .studio import FPS, Seen, Studio, seen
from .waiting import until

__all__ = ["Outputs", "joined", "record", "recorded", "sent", "studio_outputs"]

Settings = PublishSettings | HlsSettings | RecordSettings


@dataclass
class Outputs:
    """Running publishers of one studio, and what they said."""

    studio: Studio
    events: list[Event] = field(default_factory=list)
    publishers: list[Publisher] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, settings: Settings, give_up_s: float | None = None) -> Publisher:
        studio = self.studio
        publisher = Publisher(
            "cam", settings, studio.broadcaster, studio.status, self.events.append, give_up_s
        )
        self.publishers.append(publisher)
        self.tasks.append(asyncio.create_task(publisher.run()))
        return publisher

    async def stop(self) -> None:
        await asyncio.gather(*(publisher.stop() for publisher in self.publishers))
        await asyncio.gather(*self.tasks)
        assert [p.state for p in self.publishers] == ["off"] * len(self.publishers)
        assert all(p.pid is None for p in self.publishers)

    def codes(self) -> list[Code]:
        return [event.code for event in self.events]


@asynccontextmanager
async def studio_outputs(**studio: Any) -> AsyncIterator[Outputs]:
    async with Studio(**studio) as running:
        outputs = Outputs(running)
        try:
            yield outputs
        finally:
            await outputs.stop()


async def sent(studio: Studio, count: int) -> None:
    """Wait until so many more pictures have gone out."""
    goal = studio.sent + count
    await until(lambda: studio.sent >= goal, count / FPS + 5)


def record(folder: Path, **settings: Any) -> RecordSettings:
    return RecordSettings(folder=folder, **{"min_free_gb": 0, **settings})


def recorded(folder: Path) -> list[Seen]:
    """What is in the files of a recording, from the oldest on."""
    found = [recording_of("cam", name) for name in os.listdir(folder)]
    assert None not in found
    return [seen(folder / recording.name) for recording in sorted(r for r in found if r)]


def joined(files: list[Seen]) -> Seen:
    return Seen(numbers=[number for file in files for number in file.numbers])
