"""When a node's settings are read again: on SIGHUP, and when their file has changed."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from streamsr.core.events import Code, Event
from streamsr.core.redact import redact
from streamsr.core.settings import NodeSettings
from streamsr.core.waiting import wait_set
from streamsr.node.node import Node

__all__ = ["reload_on_change"]

LOOK_S = 2.0  # between looks at the file


async def reload_on_change(
    node: Node, read: Callable[[], NodeSettings], path: Path | None, look_s: float = LOOK_S
) -> None:
    """Reloads ``node`` by what ``read`` returns, until cancelled.

    What the node itself wrote into the file, it runs by already. A wrong change is refused whole:
    the node goes on, and CONFIG_REFUSED says why.
    """
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
    seen = _modified_ns(path)
    while True:
        told = await wait_set(asked, look_s)
        now = _modified_ns(path)
        if told or now not in (seen, node.edits.written_ns):
            asked.clear()
            seen = now
            try:
                await node.reload(await asyncio.to_thread(read))
            except Exception as error:  # whatever is wrong with a file, the node goes on
                message = f"nothing has changed: {redact(error) or type(error).__name__}"
                node.emit(Event(Code.CONFIG_REFUSED, "", message))


def _modified_ns(path: Path | None) -> int:
    """When the file was last written; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns if path is not None else 0
    except OSError:
        return 0
