"""The kernels as NVIDIA's own compiler takes them: for every architecture, without a device."""

import re
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from nvrtc import Nvrtc
from test_kernels import TAGS, noise, read, written

from streamsr.engine.cuda.kernel_source import KERNELS, kernel_source
from streamsr.engine.cuda.kernels import KernelConverter
from streamsr.networks.facts import Colour
from streamsr.networks.resample import resize

ARCHITECTURES = ("75", "80", "86", "90", "100", "120")  # Turing to Blackwell
PTX_TYPES = {np.uint64: "u64", np.int64: "u64", np.int32: "u32", np.float32: "f32"}


@pytest.fixture(scope="module")
def compiler() -> Nvrtc:
    return Nvrtc()


@pytest.mark.parametrize("half", [False, True])
def test_the_kernels_become_ptx(compiler: Nvrtc, half: bool) -> None:
    """As CuPy compiles them, without a warning."""
    source = kernel_source(half=half)
    ptx, log = compiler.compile(source, "compute_80", "-std=c++17")
    assert log.strip("\0") == ""
    for name in KERNELS:
        assert f".entry {name}(".encode() in ptx
    assert (b"cvt.rn.f16.f32" in ptx) == half


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("half", [False, True])
def test_machine_code_keeps_to_its_registers(
    compiler: Nvrtc, half: bool, architecture: str
) -> None:
    """Blocks of 256 threads, and none of a kernel's values in memory."""
    options = "-std=c++17", "--ptxas-options=-v"
    code, log = compiler.compile(kernel_source(half=half), f"sm_{architecture}", *options)
    assert code.startswith(b"\x7fELF")
    assert log.count("Compiling entry function") == len(KERNELS)
    assert log.count(" 0 bytes stack frame, 0 bytes spill stores") == len(KERNELS)
    registers = [int(number) for number in re.findall(r"Used (\d+) registers", log)]
    assert len(registers) == len(KERNELS)
    assert max(registers) <= 64  # four blocks on a multiprocessor of 65,536


def test_each_kernel_is_given_what_it_takes(compiler: Nvrtc) -> None:
    """A launch passes values by their bytes: nothing else would notice a wrong type."""
    given: dict[str, list[str]] = {}

    def launch(name: str, size: tuple[int, int, int], args: Sequence[np.generic]) -> None:
        given[name] = [PTX_TYPES[type(arg)] for arg in args]

    for colour in Colour:
        frame = noise((4, 6), TAGS[0])
        converter = KernelConverter(colour, launch)
        written(converter, resize(torch.nan_to_num(read(converter, frame, colour)), 2), frame, 2)
    ptx, _ = compiler.compile(kernel_source(half=False), "compute_80", "-std=c++17")
    taken = {
        name: re.findall(r"\.param \.(\w+)", parameters)
        for name, parameters in re.findall(r"\.entry (\w+)\(([^)]*)\)", ptx.decode())
    }
    assert given == taken
    assert given.keys() == set(KERNELS)


def test_what_does_not_compile_is_told(compiler: Nvrtc) -> None:
    with pytest.raises(ValueError, match=r"kernels.cu\(1\): error"):
        compiler.compile("__global__ void broken() { nowhere(); }", "compute_80")
