"""Weights files: what was written comes back to the bit, and no damaged one gets through."""

import hashlib
import json
import pickle
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
import torch
from safetensors.torch import save
from soak import counts, figure
from torch import nn

from streamsr.core.errors import ModelError
from streamsr.networks.fast import Fast
from streamsr.zoo.weights import read_weights, write_weights


def network(seed: int = 0, features: int = 4) -> Fast:
    torch.manual_seed(seed)
    return Fast(features=features, layers=3, scale=2)


def written(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def header(fields: object, payload: bytes = b"") -> bytes:
    text = json.dumps(fields).encode()
    return len(text).to_bytes(8, "little") + text + payload


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.safetensors"


def test_what_was_written_comes_back(path: Path) -> None:
    ours, theirs = network(1), network(2)
    sha256 = write_weights(path, ours)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    read_weights(path, sha256, theirs)
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[name]), name


def test_half_precision_is_written_as_float32(path: Path) -> None:
    ours = network(1).to(torch.bfloat16, memory_format=torch.channels_last)
    theirs = network(2)
    read_weights(path, write_weights(path, ours), theirs)
    for name, tensor in ours.state_dict().items():
        assert theirs.state_dict()[name].dtype is torch.float32
        assert torch.equal(tensor.float(), theirs.state_dict()[name])


def test_a_missing_file(path: Path) -> None:
    with pytest.raises(ModelError, match=r"weights\.safetensors: cannot be read: No such file"):
        read_weights(path, "0" * 64, network())


def test_another_files_sha(path: Path) -> None:
    write_weights(path, network())
    with pytest.raises(ModelError, match="SHA-256"):
        read_weights(path, "0" * 64, network())


def test_every_truncation_is_refused(path: Path) -> None:
    write_weights(path, network())
    whole = path.read_bytes()
    for length in [0, 1, 7, 8, 9, 100, *range(0, len(whole), 301), len(whole) - 1]:
        with pytest.raises(ModelError, match=r"weights\.safetensors: "):
            read_weights(path, written(path, whole[:length]), network())


@pytest.mark.parametrize("size", [8 * 1024 * 1024 + 1, 1 << 40, (1 << 64) - 1])
def test_a_huge_header_is_refused_unread(path: Path, size: int) -> None:
    sha256 = written(path, size.to_bytes(8, "little") + b"{}")
    with pytest.raises(ModelError, match="up to 8 MiB"):
        read_weights(path, sha256, network())


@pytest.mark.parametrize(
    "data",
    [
        header([]),
        header({"a": 1}),
        header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}),  # no payload
        header({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
        header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4)),
        header({"a": {"dtype": "F32", "shape": [1 << 62], "data_offsets": [0, 4]}}, bytes(4)),
        header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, bytes(4)),
        b"\x10" + bytes(7) + b"not JSON at all!",
        pickle.dumps({"body.0.weight": [1.0]}),
    ],
)
def test_what_is_no_safetensors_file(path: Path, data: bytes) -> None:
    with pytest.raises(ModelError, match=r"weights\.safetensors: "):
        read_weights(path, written(path, data), network())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_named(path: Path, value: float) -> None:
    ours = network()
    ours.body[1].bias.data[2] = value
    with pytest.raises(ModelError, match=r"body\.1\.bias holds values that are not finite"):
        read_weights(path, write_weights(path, ours), network())


def other_shapes() -> nn.Module:
    return network(features=5)


def other_names() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3))


def one_more() -> nn.Module:
    larger = network()
    larger.register_parameter("extra", nn.Parameter(torch.zeros(1)))
    return larger


@pytest.mark.parametrize("make", [other_shapes, other_names, one_more])
@pytest.mark.parametrize("swapped", [False, True])
def test_another_networks_weights_do_not_fit(path: Path, make: object, swapped: bool) -> None:
    assert callable(make)
    ours, theirs = (make(), network()) if swapped else (network(), make())
    with pytest.raises(ModelError, match="do not fit their network"):
        read_weights(path, write_weights(path, ours), theirs)


@counts(300, 10_000)
def test_damage_anywhere_is_a_model_error_or_goes_unnoticed(path: Path, count: int) -> None:
    """With the right SHA, any other bytes at all: never another exception than ModelError."""
    whole = save(network().state_dict())
    random = np.random.default_rng(5)
    start = 8 + int.from_bytes(whole[:8], "little")
    refused = 0
    slowest_s = 0.0
    for _ in range(count):
        data = bytearray(whole)
        for place in random.integers(0, start, random.integers(1, 4)):
            data[place] = random.integers(0, 256)
        model = network()
        begun_s = monotonic()
        try:
            read_weights(path, written(path, bytes(data)), model)
        except ModelError:
            refused += 1
        slowest_s = max(slowest_s, monotonic() - begun_s)
    assert refused > count * 5 / 6
    assert slowest_s < 2
    figure("mutated weights", f"{count}, {refused} refused, {slowest_s:.2f} s at most")
