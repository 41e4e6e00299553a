"""Devices by name, resolved without importing torch."""

import ctypes
import os
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from streamsr.core.errors import UserError

__all__ = ["cores", "count_cuda_devices", "cuda_version_of_torch", "pick_device"]

DRIVER = "libcuda.so.1"
_NAME = re.compile(r"(cpu|cuda)(?::(0|[1-9][0-9]{0,2}))?")
_BUILT_FOR = re.compile(r"^cuda\b[^=\n]*= *['\"](\d+)\.", re.M)


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pick_device(name: str, count: Callable[[], int] | None = None) -> str:
    """Returns "cpu" or "cuda:N" for "auto", "cpu", "cuda" or "cuda:N". Raises UserError.

    ``count`` returns how many CUDA devices there are; left out, the driver is asked.
    """
    count = count or count_cuda_devices
    if name == "auto":
        return "cuda:0" if count() else "cpu"
    match = _NAME.fullmatch(name)
    if match is None:
        raise UserError(f"device: got {name!r}, allowed are auto, cpu and cuda:N")
    kind, index = match.group(1), int(match.group(2) or 0)
    if kind == "cpu":
        return "cpu"
    if index >= (devices := count()):
        raise UserError(f"device: got {name!r}, but this machine has {devices} CUDA devices")
    return f"cuda:{index}"


def count_cuda_devices(driver: str = DRIVER, built_for: int | None = None) -> int:
    """Returns how many CUDA devices the installed torch can use, as the driver counts them.

    0 where there is no driver, where torch is built without CUDA, and where the driver is older
    than the CUDA that torch is ``built_for`` (its major version).
    """
    needed = cuda_version_of_torch() if built_for is None else built_for
    if not needed:
        return 0
    try:
        cuda = ctypes.CDLL(driver)
        version, count = ctypes.c_int(), ctypes.c_int()
        failed = (
            cuda.cuInit(0)
            or cuda.cuDriverGetVersion(ctypes.byref(version))
            or cuda.cuDeviceGetCount(ctypes.byref(count))
        )
    except (AttributeError, OSError):
        return 0
    return 0 if failed or version.value // 1000 < needed else count.value


def cuda_version_of_torch() -> int:
    """Returns the major version of CUDA that the installed torch is built for; 0 for none.

    Read from torch's ``version.py``: importing torch takes seconds.
    """
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return 0
    try:
        text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return 0
    match = _BUILT_FOR.search(text)
    return int(match.group(1)) if match else 0
