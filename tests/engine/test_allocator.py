"""Memory of frames is taken from the system once, not for every frame."""

import os
import subprocess
import sys

import pytest

FRAMES = """
import resource, sys, torch
from streamsr.engine.allocator import keep_freed_memory
torch.set_num_threads(1)
if "keep" in sys.argv:
    assert keep_freed_memory()
def frame():
    [torch.ones(2**20) for _ in range(10)]
for _ in range(3):
    frame()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    frame()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

PAGES = 20 * 10 * 2**22 // os.sysconf("SC_PAGE_SIZE")


def page_faults(*arguments: str) -> int:
    run = [sys.executable, "-c", FRAMES, *arguments]
    done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=60)
    return int(done.stdout)


@pytest.mark.skipif(
    "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", {}), reason="needs glibc"
)
def test_the_memory_of_a_frame_is_that_of_the_one_before() -> None:
    assert page_faults("keep") < PAGES / 10
