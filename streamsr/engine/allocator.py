"""The C library's allocator, told to keep what is freed: frames are large and keep coming.

Left alone it gives large blocks back to the system and takes new ones, whose pages are zeroed for
every frame, and it keeps an arena a thread, though a frame is made in one and dropped in another.
"""

import ctypes
import os

__all__ = ["keep_freed_memory"]

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8  # M_... of glibc's malloc.h
SETTINGS = {
    ARENA_MAX: 1,
    MMAP_THRESHOLD: 2**25,  # bytes: the most that every glibc of 64 bits takes
    TRIM_THRESHOLD: 2**30,
}


def keep_freed_memory() -> None:
    """Makes glibc keep this process's freed memory, in one arena (mallopt(3)).

    For a process of our own, before it has threads: arenas once made stay. Does nothing with
    another C library, and where the environment has settings for malloc itself.
    """
    if any(key.startswith("MALLOC_") or key == "GLIBC_TUNABLES" for key in os.environ):
        return
    try:
        if os.confstr("CS_GNU_LIBC_VERSION"):
            mallopt = ctypes.CDLL(None).mallopt
            for name, value in SETTINGS.items():
                mallopt(name, value)
    except (AttributeError, OSError, ValueError):
        """No such name: another C library."""
