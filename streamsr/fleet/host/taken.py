"""What each camera takes of a host, of whichever it takes more: its cores or its GPUs. Pure.

Placement knows one resource, milliseconds of CPU time a second. A camera that takes a tenth of all
GPUs and a hundredth of all cores counts as a tenth of the cores: so neither is given out twice, and
where cameras of both kinds share a host some of each stays free.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from streamsr.fleet.host.usage import Usage
from streamsr.ipc.messages import RunningCamera

__all__ = ["Taken", "taken"]

GPU_MS = 1000.0  # a second, of one


@dataclass(frozen=True, slots=True)
class Taken:
    """Milliseconds of CPU time a second."""

    load: float  # of all
    by_camera: Mapping[str, float]


def taken(usage: Usage, cameras: Mapping[str, RunningCamera], capacity: float, gpus: int) -> Taken:
    """Returns what cameras take of a host whose cores have ``capacity``.

    ``usage`` is that of all of its processes. What is no camera's own, as that of the processes
    that write outputs, is shared out by what the cameras' own threads take: so by model and size.
    What processes take that start is nobody's: it is over soon.
    """
    own = {name: camera.takes_ms for name, camera in cameras.items()}
    own_ms = sum(of_cores for of_cores, _ in own.values())
    each = max(1.0, usage.settled / own_ms) if own_ms > 0 else 0.0
    a_gpus = capacity / (gpus * GPU_MS) if gpus else 0.0  # in milliseconds of CPU time
    by_camera = {name: max(cpu * each, gpu * a_gpus) for name, (cpu, gpu) in own.items()}
    return Taken(max(usage.in_all, sum(gpu for _, gpu in own.values()) * a_gpus), by_camera)
