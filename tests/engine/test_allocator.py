"""Memory of frames is kept, in one place, by the processes that are ours."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", {}), reason="needs glibc"
)

KEEP = "from streamsr.engine.allocator import keep_freed_memory; keep_freed_memory()\n"
FREED = """
import os, torch
torch.set_num_threads(1)
frames = [torch.ones(2**21) for _ in range(32)]
del frames
with open("/proc/self/statm") as file:
    print(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20)
"""
ARENAS = """
import ctypes, threading
libc = ctypes.CDLL(None)
together = threading.Barrier(9)
def work():
    libc.malloc(100)
    together.wait()
for _ in range(8):
    threading.Thread(target=work).start()
together.wait()
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


def printed(program: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    return done.stdout


def test_what_is_freed_is_kept() -> None:
    given_back, kept = int(printed(FREED)), int(printed(KEEP + FREED))
    assert kept > given_back + 200  # MiB, of 256


def test_threads_share_one_arena() -> None:
    assert printed(ARENAS).count("<heap nr=") > 4
    assert printed(KEEP + ARENAS).count("<heap nr=") == 1


def test_who_has_settings_of_his_own_keeps_them() -> None:
    assert printed(KEEP + ARENAS, MALLOC_ARENA_MAX="3").count("<heap nr=") == 3
