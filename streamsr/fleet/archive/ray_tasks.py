"""Parts of files as tasks of Ray's: begun, waited for, and ended."""

from collections.abc import Sequence
from contextlib import suppress
from os import PRIO_PROCESS, setpriority
from typing import Any

import ray

from streamsr.core.errors import StreamsrError
from streamsr.core.events.log import set_up_log
from streamsr.fleet.archive.orders import Failed, Made, Order
from streamsr.fleet.archive.task import make_part
from streamsr.fleet.cluster.names import NAME_LABEL

__all__ = ["RayTasks", "offered"]

RETRIES = 9  # of a task whose process or machine has ended


class RayTasks:
    """The tasks of this process, which has joined a cluster. Any thread may call it."""

    def __init__(self, device: str) -> None:
        """``device``: cpu or cuda. A task takes a core, on a GPU the whole of it too."""
        gpus = 1 if device == "cuda" else 0
        remote: Any = ray.remote(_run)
        self._task: Any = remote.options(
            num_cpus=1, num_gpus=gpus, max_retries=RETRIES, name="archive"
        )

    def begin(self, order: Order) -> Any:
        return self._task.remote(order)

    def ended(self, tasks: Sequence[Any], within_s: float) -> set[Any]:
        ended, _ = ray.wait(list(tasks), num_returns=len(tasks), timeout=within_s)
        return set(ended)

    def result(self, task: Any) -> Made | Failed:
        try:
            result: Made | Failed = ray.get(task)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            raise StreamsrError(f"fleet: a task failed: {type(cause).__name__}: {cause}") from None
        except ray.exceptions.RayError as error:
            raise StreamsrError(
                f"fleet: a task was begun {RETRIES + 1} times, and its process or machine ended "
                f"each time: {str(error).strip().partition(chr(10))[0]}"
            ) from None
        return result

    def cancel(self, tasks: Sequence[Any]) -> None:
        for task in tasks:
            with suppress(ray.exceptions.RayError, ValueError):
                ray.cancel(task, force=True)


def offered(resource: str) -> int:
    """Returns how much of "CPU" or "GPU" the cluster offers."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(resources.get(resource, 0))


def _run(order: Order) -> Made | Failed:
    """What runs on a host."""
    set_up_log()
    with suppress(OSError):
        setpriority(PRIO_PROCESS, 0, order.niceness)
    context = ray.get_runtime_context()
    names = context.get_node_labels().get(NAME_LABEL)
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return make_part(order, names[0] if names else address)
