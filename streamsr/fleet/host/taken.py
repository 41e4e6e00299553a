"""What each camera takes of a host, of whichever it takes more: its cores or its GPUs.

Placement knows one resource, milliseconds of CPU time a second. A camera that takes a tenth of all
GPUs and a hundredth of all cores counts as a tenth of the cores: so neither is given out twice, and
where cameras of both kinds share a host some of each stays free.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from streamsr.core.status import StreamState
from streamsr.fleet.host.usage import Usage
from streamsr.ipc.messages import RunningCamera

__all__ = ["HostShares", "Taken"]

GPU_MS = 1000.0  # a second, of one


@dataclass(frozen=True, slots=True)
class Taken:
    """Milliseconds of CPU time a second."""

    load: float  # of all
    by_camera: Mapping[str, float]


class HostShares:
    """Shares out what all processes of a host take, whose cores have ``capacity``.

    What is no camera's own, as that of the processes that write outputs, goes by what the cameras'
    own threads take: so by model and size. How much that is is known while nothing starts: what
    starting takes is nobody's, and over soon.
    """

    def __init__(self, capacity: float, gpus: int) -> None:
        self._of_gpus = capacity / (gpus * GPU_MS) if gpus else 0.0  # in ms of CPU time
        self._of_own = 1.0  # of all processes, for each of the cameras' own threads

    def of(self, usage: Usage, cameras: Mapping[str, RunningCamera]) -> Taken:
        """Returns what each camera takes; 0 where that is not measured yet."""
        own = {name: camera.takes_ms for name, camera in cameras.items()}
        own_ms = sum(of_cores for of_cores, _ in own.values())
        if own_ms > 0 and not usage.starts and not any(map(_starts, cameras.values())):
            self._of_own = max(1.0, usage.taken_ms / own_ms)
        cores_ms = max(usage.taken_ms, own_ms * self._of_own)
        gpu_ms = sum(gpu for _, gpu in own.values()) * self._of_gpus
        by_camera = {
            name: max(cpu * self._of_own, gpu * self._of_gpus) for name, (cpu, gpu) in own.items()
        }
        return Taken(max(cores_ms, gpu_ms), by_camera)


def _starts(camera: RunningCamera) -> bool:
    is_measured = any(camera.takes_ms)
    return camera.state == StreamState.STARTING or (
        camera.state == StreamState.LIVE and not is_measured
    )
