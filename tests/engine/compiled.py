"""The CUDA kernels compiled as C++, one thread after the other: their arithmetic on a CPU."""

import ctypes
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from streamsr.engine.cuda.kernel_source import KERNELS, kernel_source

__all__ = ["CompiledKernels"]

SHIM = r"""
#include <cmath>
#include <algorithm>
using std::min;
#define __global__
#define __device__
struct Index { int x, y, z; };
static thread_local Index blockIdx, blockDim, threadIdx;
extern "C" void enter(int x, int y, int z)
{
    blockIdx = {x / 4, y / 2, z};
    blockDim = {4, 2, 1};
    threadIdx = {x % 4, y % 2, 0};
}
"""
HALF_PIXELS = r"""
#include <immintrin.h>
typedef unsigned short pixel;
inline pixel stored(float value) { return _cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT); }
"""
C_TYPES = {
    np.uint64: ctypes.c_void_p,
    np.int64: ctypes.c_longlong,
    np.int32: ctypes.c_int,
    np.float32: ctypes.c_float,
}


class CompiledKernels:
    """Launches as ``streamsr.engine.cuda.kernels.Launch`` does, on the memory of CPU tensors."""

    def __init__(self, compiler: str, folder: Path, *, half: bool = False) -> None:
        source = kernel_source(half=half)
        if half:  # the one place that needs an instruction of its own
            source = HALF_PIXELS + source[source.index("typedef unsigned char sample") :]
        text, library = folder / "kernels.cpp", folder / "kernels.so"
        text.write_text(SHIM + source)
        flags = ["-O2", "-shared", "-fPIC", "-Wall", "-Werror", *(["-mf16c"] if half else [])]
        subprocess.run([compiler, *flags, "-o", library, text], check=True)
        self._library = ctypes.CDLL(str(library))
        self.launched: set[str] = set()

    def __call__(self, name: str, size: tuple[int, int, int], args: Sequence[np.generic]) -> None:
        assert name in KERNELS
        self.launched.add(name)
        kernel, enter = getattr(self._library, name), self._library.enter
        values = [C_TYPES[type(arg)](arg.item()) for arg in args]
        columns, rows, planes = size
        for z in range(planes):
            for y in range(rows + 2):  # as a grid of whole blocks does, a little more
                for x in range(columns + 3):
                    enter(x, y, z)
                    kernel(*values)
