"""Frames made of frames that engines still owe."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from streamsr.core.frame import Frame

__all__ = ["made_of"]


def made_of(
    sources: Sequence[Future[Frame]], make: Callable[[Sequence[Frame]], Frame]
) -> Future[Frame]:
    """Returns what ``make`` gives of all ``sources``, in the thread in which the last is done.

    Cancelled where one of them is; what ``make`` raises belongs to the one who waits.
    """
    made: Future[Frame] = Future()
    left = list(sources)  # emptied by whichever thread is the last: frames are large
    counting = threading.Semaphore(len(left) - 1)

    def one_is_done(_: Future[Frame]) -> None:
        if counting.acquire(blocking=False):
            return
        done, left[:] = list(left), []
        if any(source.cancelled() for source in done):
            if made.cancel():
                made.set_running_or_notify_cancel()  # or what waits for it would not return
            return
        try:
            frame = make([source.result() for source in done])
        except Exception as error:
            made.set_exception(error)
        else:
            made.set_result(frame)

    for source in sources:
        source.add_done_callback(one_is_done)
    return made
