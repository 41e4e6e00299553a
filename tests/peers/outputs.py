"""Running outputs of a studio, what they said, and what they recorded."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamsr.core.backoff import Backoff
from streamsr.core.deadline import STOP_S, Deadline
from streamsr.core.events import Code, Event
from streamsr.core.settings import RecordSettings
from streamsr.core.status import OutputState
from streamsr.ipc.process import HeartbeatLimits
from streamsr.media.recordings import recording_of
from streamsr.outputs.output import Output
from streamsr.outputs.target import TargetSettings

from .studio import FPS, Seen, Studio, seen
from .waiting import until

__all__ = ["Outputs", "joined", "quick", "record", "recorded", "sent", "studio_outputs"]


@dataclass
class Outputs:
    """Running outputs of one studio, and what they said."""

    studio: Studio
    events: list[Event] = field(default_factory=list)
    running: list[Output] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, settings: TargetSettings, **options: Any) -> Output:
        """Runs an output; ``options`` are Output's own."""
        output = Output("cam", settings, self.studio.broadcaster, self.events.append, **options)
        self.running.append(output)
        self.tasks.append(asyncio.create_task(output.run()))
        return output

    async def stop(self, within_s: float = STOP_S) -> None:
        """Stops all of them at one deadline."""
        deadline = Deadline.after(within_s)
        await asyncio.gather(*(output.stop(deadline) for output in self.running))
        await asyncio.gather(*self.tasks)
        assert all(output.state is OutputState.OFF for output in self.running)
        assert all(output.pid is None for output in self.running)

    def codes(self) -> list[Code]:
        return [event.code for event in self.events]


def quick() -> dict[str, Any]:
    """Options of an output that notices a blocked process, and starts another one, quickly."""
    return {"limits": HeartbeatLimits(15.0, 1.5), "backoff": Backoff(0.1, 0.3)}


@asynccontextmanager
async def studio_outputs(**studio: Any) -> AsyncIterator[Outputs]:
    async with Studio(**studio) as running:
        outputs = Outputs(running)
        try:
            yield outputs
        finally:
            await outputs.stop()


async def sent(studio: Studio, count: int) -> None:
    """Wait until so many more frames have gone out."""
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
