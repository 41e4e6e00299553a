"""How much a machine does: pixels of a network's input, and of results that need none.

Tried in a process of its own, which is less urgent, once for all hosts of a machine, and kept
with what else is measured there.
"""

import asyncio
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from streamsr.core.devices import count_cuda_devices, pick_device
from streamsr.ipc.process import RestartError, ask_child
from streamsr.outputs.fence import die_with
from streamsr.zoo.measured import Measured, cache_folder

__all__ = ["Trial", "main", "trial_of_machine"]

LIMIT_S = 120  # for a trial, by what others leave of the machine
LESS_URGENT = 5
MODEL, SCALE = "fast-camera", 2  # what cameras run where nothing else is asked for
MEGA = 1e6
LOCK = "trial.lock"


@dataclass(frozen=True, slots=True)
class Trial:
    """Megapixels a second that all of a machine does; 0 where that is not known."""

    network_mpx: float = 0.0  # of a network's input
    path_mpx: float = 0.0  # of results, beside the network: all that a filter has to do


async def trial_of_machine(cores: float) -> Trial:
    """Returns what so many cores do, and the GPUs there are; nothing where no trial succeeds.

    It takes seconds where there was none before.
    """
    found = await asyncio.to_thread(lambda: _known() or _tried())
    if found is None:
        return Trial()
    network_s, path_s = found
    at_once = count_cuda_devices() or cores
    return Trial(at_once / network_s / MEGA, cores / path_s / MEGA)


def _names() -> tuple[str, str]:
    device = pick_device("auto")
    return f"network of hosts on {device}, seconds a pixel", "path of hosts, seconds a pixel"


def _known() -> tuple[float, float] | None:
    """What a pixel takes of a core, or of a GPU, and one beside a network of a core."""
    measured = Measured()
    network, path = (measured.known(name) for name in _names())
    return (network, path) if network and path else None


def _tried() -> tuple[float, float] | None:
    with suppress(RestartError, ValueError):
        said, _ = ask_child("streamsr.fleet.host.trial", str(os.getpid()), LIMIT_S)
        network_s, path_s = json.loads(said)
        return network_s, path_s
    return None


def main() -> None:
    """Tries it, unless another process did meanwhile, keeps it and prints it.

    Started as ``python -m streamsr.fleet.host.trial PID``, PID being that of the host's process.
    """
    die_with(int(sys.argv[1]))
    os.nice(LESS_URGENT)
    from streamsr.pipeline.machine import try_machine

    with _one_at_a_time():
        found = _known() or try_machine(pick_device("auto"), MODEL, SCALE)
        measured, (network, path) = Measured(), _names()
        measured.of(network, lambda: found[0])
        measured.of(path, lambda: found[1])
    sys.stdout.write(json.dumps(found))


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """In it, no other process of this machine is; where a file can be written."""
    with ExitStack() as opened:
        if (folder := cache_folder()) is not None:
            with suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                fcntl.flock(opened.enter_context((folder / LOCK).open("w")), fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    main()
