"""Devices by name, and how many CUDA devices there are, without torch."""

import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from streamsr.core.devices import count_cuda_devices, cuda_version_of_torch, pick_device
from streamsr.core.errors import UserError

DRIVER = """
int cuInit(unsigned flags) {{ return {failure}; }}
int cuDriverGetVersion(int *version) {{ *version = {version}; return 0; }}
int cuDeviceGetCount(int *count) {{ *count = 2; return 0; }}
"""


@pytest.mark.parametrize(
    ("name", "devices", "picked"),
    [
        ("cpu", 2, "cpu"),
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda:0"),
        ("cuda", 1, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_one_device_has_one_name(name: str, devices: int, picked: str) -> None:
    assert pick_device(name, lambda: devices) == picked
    assert str(torch.device(picked)) == picked


@pytest.mark.parametrize("name", ["gpu", "meta", "", "cuda:", "cuda:-1", "cuda:01", "CPU", "cpu "])
def test_what_is_no_device_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"device: got .*, allowed are auto, cpu and cuda:N"):
        pick_device(name, lambda: 2)


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match=r"'cuda:2', but this machine has 2 CUDA devices"):
        pick_device("cuda:2", lambda: 2)


def test_devices_are_counted_as_torch_counts_them() -> None:
    assert count_cuda_devices() == torch.cuda.device_count()
    built_for = torch.version.cuda
    assert cuda_version_of_torch() == int((built_for or "0").partition(".")[0])


@pytest.mark.parametrize("library", ["libnowhere.so.1", "libc.so.6"])
def test_without_a_driver_there_is_no_device(library: str) -> None:
    assert count_cuda_devices(library, built_for=13) == 0


@pytest.mark.skipif(shutil.which("cc") is None, reason="cc is not installed: apt-get install gcc")
@pytest.mark.parametrize(
    ("failure", "version", "built_for", "devices"),
    [
        (0, 13000, 13, 2),
        (0, 13010, 12, 2),
        (0, 12080, 13, 0),
        (100, 13000, 13, 0),
        (0, 13000, 0, 0),
    ],
)
def test_the_driver_is_asked(
    tmp_path: Path, failure: int, version: int, built_for: int, devices: int
) -> None:
    source, library = tmp_path / "driver.c", tmp_path / "driver.so"
    source.write_text(DRIVER.format(failure=failure, version=version))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    assert count_cuda_devices(str(library), built_for) == devices
