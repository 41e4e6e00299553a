"""What the engine's tests need of the machine: a C++ compiler, a CUDA device."""

import os
import platform
import shutil
from collections.abc import Callable

import pytest
import torch
from compiled import CompiledKernels


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., CompiledKernels]:
    """``compiled(half=False)``: the CUDA kernels as C++."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler is installed: apt-get install g++")
    made: dict[bool, CompiledKernels] = {}

    def make(half: bool = False) -> CompiledKernels:
        if half and platform.machine() != "x86_64":
            pytest.skip("float16 is rounded by an instruction of x86-64 here")
        if half not in made:
            made[half] = CompiledKernels(compiler, tmp_path_factory.mktemp("kernels"), half=half)
        return made[half]

    return make


@pytest.fixture(scope="session")
def cuda() -> torch.device:
    """A CUDA device: skip without one, fail where STREAMSR_REQUIRE_CUDA is 1."""
    if not torch.cuda.is_available():
        reason = "there is no CUDA device, or torch is built without CUDA"
        if os.environ.get("STREAMSR_REQUIRE_CUDA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return torch.device("cuda", 0)
