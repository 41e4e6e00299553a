"""Reading what training wrote, pickled or in safetensors: tensors and plain values, nothing run.

The only place that reads a pickle, and no pickle calls anything that it names: trainers put their
settings beside the weights, and each object of theirs becomes an empty stand-in.
"""

import pickle
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load as parse_safetensors

from streamsr.core.errors import ModelError
from streamsr.zoo.fetched import check_fetched

__all__ = ["read_checkpoint"]

PICKLED = (".pth", ".pt", ".ckpt", ".pth.tar")
TRAINERS = frozenset(
    {
        *("_codecs", "argparse", "collections", "datetime", "numpy", "pathlib", "typing"),
        *("addict", "easydict", "lightning", "lightning_fabric", "mmcv", "mmengine", "omegaconf"),
        *("pytorch_lightning", "yacs"),
    }
)
"""Packages whose objects lie beside weights."""
PLAIN = frozenset(f"builtins.{kind}" for kind in ("bool", "dict", "float", "int", "list", "str"))


def read_checkpoint(path: Path) -> Any:
    """Returns what a file holds: a tree of tensors and plain values, on the CPU.

    Raises ModelError where it cannot be read, is damaged, or names what no trainer writes.
    """
    ending = "".join(path.suffixes[-2:]).lower()
    suffix = ending if ending in PICKLED else path.suffix.lower()
    try:
        check_fetched(path)
        if suffix == ".safetensors":
            return parse_safetensors(path.read_bytes())
        if suffix in PICKLED:
            return _unpickled(path)
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror or error}") from None
    except ModelError:
        raise
    except pickle.UnpicklingError:
        raise ModelError(
            "is damaged, or holds more than tensors and plain values; nothing of it was run"
        ) from None
    except Exception:  # a damaged file fails its parser in every way there is
        raise ModelError(
            f"is damaged, or no checkpoint: got {path.stat().st_size} bytes, allowed is what "
            "torch.save or safetensors wrote"
        ) from None
    allowed = ", ".join((*PICKLED, ".safetensors"))
    raise ModelError(f"got a {path.suffix or 'suffixless'} file, allowed: {allowed}")


def _unpickled(path: Path) -> Any:
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except ValueError:  # a form of before 2020, or no checkpoint
        named = []
    beside = [name for name in named if name.partition(".")[0] in TRAINERS or name in PLAIN]
    stand_ins: list[Any] = [(_stand_in(name), name) for name in beside]
    with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins):
        warnings.simplefilter("ignore")  # torch's advice on files that it then refuses
        return torch.load(path, map_location="cpu", weights_only=True)


class _StandIn:
    """Takes whatever makes an object, and keeps none of it."""

    def __new__(cls, *arguments: object, **named: object) -> Self:
        return super().__new__(cls)

    def __init__(self, *arguments: object, **named: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def _stand_in(name: str) -> Any:
    """What is called by this name. Of a dictionary items may be put into it: torch lets them into
    its own kinds alone."""
    if name == "collections.defaultdict":
        return _empty
    return OrderedDict if name.lower().endswith(("dict", "config")) else _StandIn


def _empty(*_: object) -> OrderedDict[Any, Any]:
    return OrderedDict()
