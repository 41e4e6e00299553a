"""What the engine's tests need of the machine: a C++ compiler, a CUDA device."""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from random import Random

import pytest
import torch
from compiled import CompiledKernels

from streamsr.engine.cuda.host_device import HostDevice, MakeDevice


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., CompiledKernels]:
    """``compiled(half=False)``: the CUDA kernels as C++."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        reason = "no C++ compiler is installed: apt-get install g++"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    made: dict[bool, CompiledKernels] = {}

    def make(half: bool = False) -> CompiledKernels:
        if half and platform.machine() != "x86_64":
            pytest.skip("float16 is rounded by an instruction of x86-64 here")
        if half not in made:
            made[half] = CompiledKernels(compiler, tmp_path_factory.mktemp("kernels"), half=half)
        return made[half]

    return make


@pytest.fixture
def host_device() -> Iterator[MakeDevice]:
    """``host_device(seed=None)``: its streams overlap by chance where there is a seed."""
    with ExitStack() as stack:

        def make(seed: int | None = None) -> HostDevice:
            random = Random(seed)
            delay_s = None if seed is None else lambda: random.uniform(0, 0.002)
            device = HostDevice(delay_s=delay_s)
            stack.callback(device.close)
            return device

        yield make


@pytest.fixture(scope="session")
def cuda() -> torch.device:
    """A CUDA device: skip without one, fail where STREAMSR_REQUIRE_CUDA is 1."""
    if not torch.cuda.is_available():
        _missing("there is no CUDA device, or torch is built without CUDA")
    return torch.device("cuda", 0)


@pytest.fixture(scope="session")
def cuda_kernels(cuda: torch.device) -> torch.device:
    """A CUDA device that CuPy has kernels for."""
    if find_spec("cupy") is None:
        _missing("CuPy is not installed: pip install cupy-cuda13x")
    return cuda


def _missing(reason: str) -> None:
    if os.environ.get("STREAMSR_REQUIRE_CUDA") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
