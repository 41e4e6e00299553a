"""Reading and writing weights: safetensors, checked against a SHA-256 and against the network."""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as format_safetensors
from torch import nn

from streamsr.core.errors import ModelError

__all__ = ["read_weights", "write_weights"]

MAX_HEADER_BYTES = 8 * 1024 * 1024


def read_weights(path: Path, sha256: str, network: nn.Module) -> None:
    """Loads the weights at ``path`` into ``network``, every name and shape matched.

    Raises ModelError where the file is missing, not what its card says, damaged, holds values
    that are not finite, or does not fit.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"weights {path}: cannot be read: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ModelError(f"weights {path}: their SHA-256 is not the one their card states")
    if len(data) < 8 or int.from_bytes(data[:8], "little") > MAX_HEADER_BYTES:
        raise ModelError(f"weights {path}: not a safetensors file with a header up to 8 MiB")
    try:
        tensors = parse_safetensors(data)
        network.load_state_dict(tensors, strict=True)
    except (SafetensorError, ValueError) as error:
        raise ModelError(f"weights {path}: damaged: {error}") from None
    except RuntimeError as error:
        what = "; ".join(line.strip().rstrip(".") for line in str(error).splitlines()[1:4])
        raise ModelError(f"weights {path}: do not fit their network: {what or error}") from None
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ModelError(f"weights {path}: {name} holds values that are not finite")


def write_weights(path: Path, network: nn.Module) -> str:
    """Writes the network's parameters as float32 safetensors; returns the file's SHA-256."""
    tensors = {
        name: tensor.detach().to("cpu", torch.float32).contiguous()
        for name, tensor in network.state_dict().items()
    }
    data = format_safetensors(tensors)
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()
