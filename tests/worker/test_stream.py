"""A stream in a worker: its model is changed while it runs, in the size that its results have."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import torch
from peers.waiting import until
from test_link import Ends, linked

from streamsr.core.deadline import Deadline
from streamsr.core.events import Code
from streamsr.core.packet import Track
from streamsr.core.settings import InputSettings, ModelSettings, OutputSettings, StreamSettings
from streamsr.core.status import StreamState, StreamStatus
from streamsr.engine.engines import Engines
from streamsr.ipc.messages import (
    ModelInUse,
    StartStream,
    StreamEnded,
    StreamEvent,
    StreamFailed,
    StreamReport,
)
from streamsr.worker.stream import WorkerStream

KEY = "cam:1"
NOTHING = StreamStatus("cam", StreamState.STARTING, "", "", "", "")


class Running:
    """A stream that runs, and what its worker has sent of it."""

    def __init__(self, ends: Ends, engines: Engines, settings: StreamSettings) -> None:
        start = StartStream(KEY, settings.model_dump_json(), frozenset({Track.OUTPUT}))
        self.stream = WorkerStream(start, ends.link)
        self._engines = engines
        self._ends = ends

    @property
    def status(self) -> StreamStatus:
        """The newest."""
        reports = self.of(StreamReport)
        return reports[-1].status if reports else NOTHING

    def of(self, kind: type) -> list:  # type: ignore[type-arg]
        return [message for message in self._ends.arrived if isinstance(message, kind)]

    def codes(self) -> list[Code]:
        return [message.event.code for message in self.of(StreamEvent)]

    async def use(self, model: str) -> None:
        await self.stream.use(model, self._engines)

    async def run(self) -> None:
        await self.stream.run(self._engines)


@asynccontextmanager
async def running(
    *, output: OutputSettings | None = None, **model: object
) -> AsyncIterator[Running]:
    settings = StreamSettings(
        name="cam",
        input=InputSettings(url="demo"),
        model=ModelSettings.model_validate({"name": "bicubic", "device": "cpu"} | model),
        output=output or OutputSettings(),
    )
    async with linked() as ends:
        with Engines(torch.device("cpu")) as engines:
            made = Running(ends, engines, settings)
            reading = asyncio.create_task(ends.read(100_000))
            try:
                yield made
            finally:
                made.stream.stop(Deadline.after(1.0))
                reading.cancel()


async def test_another_model_goes_on_in_the_same_size() -> None:
    async with running(output=OutputSettings(scale=1.5)) as made:
        ending = asyncio.create_task(made.run())
        await until(lambda: made.status.output)
        await made.use("lanczos")
        await until(lambda: made.status.model == "lanczos")
        assert made.status.output == "480x270"
        assert [message.model for message in made.of(ModelInUse)] == ["lanczos"]
        await made.use("lanczoss")
        await until(lambda: Code.MODEL_FAILED in made.codes())
        assert made.status.model == "lanczos"
        made.stream.stop(Deadline.after(2.0))
        await ending
        await until(lambda: made.of(StreamEnded))
    summary = made.of(StreamEnded)[0].summary
    assert (summary.model, summary.wanted, summary.output) == ("lanczos", "lanczos", "480x270")


async def test_another_model_before_it_runs_is_taken() -> None:
    async with running() as made:
        await made.use("lanczos")
        ending = asyncio.create_task(made.run())
        await until(lambda: made.status.frames_out)
        assert made.status.wanted == "lanczos"
        made.stream.stop(Deadline.after(2.0))
        await ending


async def test_a_model_that_cannot_be_loaded_ends_its_stream_alone(tmp_path: Path) -> None:
    """It is met only once the source is known."""
    folder = tmp_path / "damaged"
    folder.mkdir()
    (folder / "card.toml").write_text(
        'description = ""\nnetwork = "resample"\n[options]\nkernel = "spline"\n'
        '[facts]\nscale = 4\nwindow = 1\nlookahead = 0\ncolour = "luma"\n',
        encoding="utf-8",
    )
    async with running(name=str(folder)) as made:
        await made.run()
        await until(lambda: made.of(StreamFailed))
    (failed,) = made.of(StreamFailed)
    assert failed.exit_code == 2
    assert "got 'spline'" in failed.message
