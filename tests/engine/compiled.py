"""The CUDA kernels compiled as C++: a grid's threads, one after the other on a CPU."""

import ctypes
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from streamsr.engine.cuda.kernel_source import KERNELS, kernel_source
from streamsr.engine.cuda.kernels import BLOCK, grid_of

__all__ = ["CompiledKernels"]

SHIM = r"""
#include <cmath>
#include <algorithm>
using std::min;
#define __global__
#define __device__
struct Index { int x, y, z; };
static thread_local Index blockIdx, blockDim, threadIdx;
"""
HALF_PIXELS = r"""
#include <immintrin.h>
typedef unsigned short pixel;
inline pixel stored(float value) { return _cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT); }
"""
RUN = r"""
extern "C" void run_NAME(Index grid, Index block, PARAMETERS)
{
    blockDim = block;
    for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
    for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x)
    for (threadIdx.y = 0; threadIdx.y < block.y; ++threadIdx.y)
    for (threadIdx.x = 0; threadIdx.x < block.x; ++threadIdx.x)
        NAME(ARGUMENTS);
}
"""
C_TYPES = {
    np.uint64: ctypes.c_void_p,
    np.int64: ctypes.c_longlong,
    np.int32: ctypes.c_int,
    np.float32: ctypes.c_float,
}


class Index(ctypes.Structure):
    _fields_ = tuple((axis, ctypes.c_int) for axis in "xyz")


class CompiledKernels:
    """Launches as ``streamsr.engine.cuda.kernels.Launch`` does, on the memory of CPU tensors."""

    def __init__(self, compiler: str, folder: Path, *, half: bool = False) -> None:
        source = kernel_source(half=half)
        if half:  # the one place that needs an instruction of its own
            source = HALF_PIXELS + source[source.index("typedef unsigned char sample") :]
        text, library = folder / "kernels.cpp", folder / "kernels.so"
        text.write_text(SHIM + source + _runs(source))
        flags = ["-O2", "-shared", "-fPIC", "-Wall", "-Werror", *(["-mf16c"] if half else [])]
        subprocess.run([compiler, *flags, "-o", library, text], check=True)
        self._library = ctypes.CDLL(str(library))
        self.launched: set[str] = set()

    def __call__(self, name: str, size: tuple[int, int, int], args: Sequence[np.generic]) -> None:
        self.launched.add(name)
        values = [C_TYPES[type(arg)](arg.item()) for arg in args]
        getattr(self._library, f"run_{name}")(Index(*grid_of(size)), Index(*BLOCK), *values)


def _runs(source: str) -> str:
    """What runs each kernel over a grid, as a launch does."""
    found = re.findall(r"extern \"C\" __global__ void (\w+)\(([^)]*)\)", source)
    assert [name for name, _ in found] == list(KERNELS)
    runs = []
    for name, parameters in found:
        arguments = ", ".join(re.findall(r"(\w+)(?:,|$)", parameters))
        run = RUN.replace("NAME", name).replace("PARAMETERS", parameters)
        runs.append(run.replace("ARGUMENTS", arguments))
    return "".join(runs)
