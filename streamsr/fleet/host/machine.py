"""What a machine of a fleet is: its kind, and what it holds, in ms of CPU time a second."""

import asyncio
import hashlib
import os
from contextlib import suppress

from streamsr.core.devices import cores, count_cuda_devices
from streamsr.zoo.measured import machine_name

__all__ = [
    "CORE_MS",
    "capacity_of_machine",
    "exists",
    "is_stopped",
    "kind_of_machine",
    "when_ended",
]

CPU_MAX = "/sys/fs/cgroup/cpu.max"  # of a container: "QUOTA PERIOD", both in microseconds
CORE_MS = 1000.0  # of CPU time a second
STOPPED = ("T", "t")  # of proc_pid_stat(5)


def kind_of_machine() -> str:
    """Returns what cameras cost the same on: the processor, its cores, the versions, GPUs."""
    name = machine_name()
    devices = count_cuda_devices()
    digest = hashlib.sha256(f"{name} {devices}".encode()).hexdigest()[:8]
    processor = name.partition(" avx")[0].partition(",")[0].strip() or "cpu"
    return f"{processor}{f' and {devices} GPU' if devices else ''} ({digest})"


def capacity_of_machine() -> float:
    """Returns what the cores hold that this process may use."""
    usable = cores()
    return min(float(usable), _quota() or usable) * CORE_MS


def exists(pid: int) -> bool:
    """Whether there is a process of that number, one that has ended and was not reaped, too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def when_ended(pid: int) -> asyncio.Event:
    """Returns what is set at once when a process ends, whether or not it is reaped; never where
    the system does not tell. Call it in a loop."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    with suppress(OSError, AttributeError):
        descriptor = os.pidfd_open(pid)

        def readable() -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            ended.set()

        loop.add_reader(descriptor, readable)
    return ended


def is_stopped(pid: int) -> bool:
    """Whether a process stands still until somebody lets it go on, by SIGSTOP or a debugger."""
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] in STOPPED
    except OSError:
        return False


def _quota() -> float | None:
    """The cores of a container that is kept to fewer than the machine has; None without one."""
    try:
        with open(CPU_MAX, encoding="ascii") as file:
            quota, period = file.read().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
