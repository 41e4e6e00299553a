"""The C library's allocator, told to keep what is freed: frames are large and come without an end.

Left alone it gives large blocks back to the system and takes new ones, whose pages are zeroed for
every frame, and it keeps an arena a thread, though a frame is made in one and dropped in another.
"""

import ctypes
import os

__all__ = ["keep_freed_memory"]

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8  # M_... of glibc's malloc.h
SETTINGS = {
    ARENA_MAX: 1,
    MMAP_THRESHOLD: 2**25,  # bytes: the most that every glibc takes
    TRIM_THRESHOLD: 2**30,
}


def keep_freed_memory() -> bool:
    """Let the process keep freed memory, in one arena; whether its allocator obeyed.

    glibc's does (mallopt(3)); others are left as they are.
    """
    try:
        if not os.confstr("CS_GNU_LIBC_VERSION"):
            return False
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, ValueError):  # no such name: another C library
        return False
    return all(mallopt(name, value) == 1 for name, value in SETTINGS.items())
