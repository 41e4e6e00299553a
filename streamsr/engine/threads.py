"""How many threads one operation of torch and OpenCV takes: ours take one each.

Threads inside one operation wait for each other at every layer; frames side by side do not. In a
process of our own that is set for all of it. In a caller's process it is set for our threads
alone, and the process's own counts stay as they are.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import cv2
import torch

__all__ = ["alone", "counts_kept", "in_thread_of_ours", "one_thread_each", "one_thread_here"]

T = TypeVar("T")
_setting = threading.Lock()


def one_thread_each() -> None:
    """Makes every operation of this process take one thread. For a process of our own."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def one_thread_here() -> None:
    """Makes torch's operations in the calling thread take one thread, for as long as it runs.

    torch keeps a count for each thread, and one that later threads begin with: that one is set
    back, by a thread that ends at once. OpenCV has one count for all threads, and leaves a thread
    alone while another one computes: it stays.
    """
    with _setting:
        begun_with = _elsewhere(torch.get_num_threads)
        torch.get_num_threads()  # or this thread would begin at its first operation
        torch.set_num_threads(1)
        _elsewhere(lambda: torch.set_num_threads(begun_with))


def alone(function: Callable[[], None]) -> Callable[[], None]:
    """Returns ``function`` as a thread runs it whose operations take one thread."""

    def run() -> None:
        one_thread_here()
        function()

    return run


def in_thread_of_ours(function: Callable[[], T]) -> T:
    """Returns what ``function`` returns, or raises what it raises, in a thread of one operation's.

    OpenMP's threads belong to the thread that first needed them: what the caller's thread never
    needed does not hang in a process that is forked from it.
    """
    with _setting:
        begun_with = _elsewhere(torch.get_num_threads)
    try:
        with ThreadPoolExecutor(1, "streamsr-load", one_thread_here) as threads:
            return threads.submit(function).result()
    finally:
        with _setting:
            _elsewhere(lambda: torch.set_num_threads(begun_with))


@contextmanager
def counts_kept() -> Iterator[None]:
    """Sets the process's counts back to what they were, once its context is left."""
    of_opencv, of_torch = cv2.getNumThreads(), torch.get_num_threads()
    try:
        yield
    finally:
        cv2.setNumThreads(of_opencv)
        torch.set_num_threads(of_torch)


def _elsewhere(function: Callable[[], T]) -> T:
    """Calls ``function`` in a new thread."""
    result: list[T] = []
    thread = threading.Thread(target=lambda: result.append(function()), name="streamsr-count")
    thread.start()
    thread.join()
    return result[0]
