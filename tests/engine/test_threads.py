"""Threads of an operation: ours take one, and the caller's process keeps its counts."""

import subprocess
import sys

COUNTS = """
import threading

import cv2
import torch

from streamsr.engine.engines import Engines
from streamsr.engine.threads import one_thread_here


def in_new_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


torch.set_num_threads(3)
cv2.setNumThreads(3)


def ours():
    one_thread_here()
    torch.rand(8, 8) @ torch.rand(8, 8)
    return torch.get_num_threads()


assert in_new_thread(ours) == 1
with Engines(torch.device("cpu"), own_process=False):
    assert torch.get_num_threads() == 3
    assert in_new_thread(torch.get_num_threads) == 3
    assert cv2.getNumThreads() == 3
with Engines(torch.device("cpu")):
    assert torch.get_num_threads() == 1
    assert cv2.getNumThreads() == 1
"""


def test_only_a_process_of_our_own_is_set_to_one_thread() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COUNTS], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
