"""The main process: workers supervised, their packets served."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamsr.building import check_settings
from streamsr.errors import StreamsrError
from streamsr.events import Emit
from streamsr.serve.app import Server
from streamsr.serve.session import Served
from streamsr.settings import PipelineSettings, ServeSettings
from streamsr.status import StreamStatus
from streamsr.supervisor import Supervisor

__all__ = ["Node"]


class Node:
    """Streams run in workers, and a server shows them. ``await run()`` it once."""

    def __init__(
        self, streams: Sequence[PipelineSettings], serve: ServeSettings | None, emit: Emit
    ) -> None:
        for settings in streams:
            check_settings(settings)
        self._serve = serve
        self._workers = {s.name: Supervisor(s, emit) for s in streams}

    async def run(self, listening: Callable[[str], None]) -> list[dict[str, Any]]:
        """Run until every stream has ended or ``stop()``; give the streams' summaries.

        ``listening`` is told the page's address as soon as it answers. Raises what stops a
        stream for good, and OutputError where the address cannot be listened on.
        """
        if self._serve is None:
            await self._work()
        else:
            served: Mapping[str, Served] = {
                name: Served(worker.hub, lambda w=worker: w.status)  # type: ignore[misc]
                for name, worker in self._workers.items()
            }
            settings = self._serve
            async with Server(
                served, host=settings.host, port=settings.port, viewers=settings.max_viewers
            ) as server:
                listening(server.url)
                await self._work()
        return [worker.summary or _unfinished(worker.status) for worker in self._workers.values()]

    async def stop(self) -> None:
        """Let every stream deliver what it has read, and end."""
        await asyncio.gather(*(worker.stop() for worker in self._workers.values()))

    async def _work(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for name, worker in self._workers.items():
                    group.create_task(worker.run(), name=f"worker-{name}")
        except* StreamsrError as failures:
            raise failures.exceptions[0] from None


def _unfinished(status: StreamStatus) -> dict[str, Any]:
    """The summary of a stream whose worker was gone before it could give one."""
    return {
        "name": status.name,
        "frames_in": status.frames_in,
        "frames_out": status.frames_out,
        "frames_dropped": status.frames_dropped,
        "frames_held": 0,
        "fps": status.fps,
        "latency_ms": {"p50": status.latency_p50_ms, "p99": status.latency_p99_ms},
        "model": status.model,
        "device": status.device,
        "reconnects": status.reconnects,
        "input": status.input,
        "output": status.output,
    }
