"""What every actor of the fleet does first in its process."""

import os
from contextlib import suppress

from streamsr.core.events.log import set_up_log

__all__ = ["begin_actor"]


def begin_actor() -> None:
    """Sets its log up, and takes back that Ray starts processes as the least urgent there are.

    Those without the right to that stay so, unless Ray is started with ``RAY_worker_niceness=0``.
    """
    set_up_log()
    with suppress(OSError):
        for thread in os.listdir("/proc/self/task"):  # on Linux each has its own
            os.setpriority(os.PRIO_PROCESS, int(thread), 0)
