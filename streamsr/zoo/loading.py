"""Making networks of cards and loading their weights, ready to stream on a device."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from streamsr.core.config import nearest
from streamsr.core.errors import ModelError
from streamsr.networks.edvr import EDVR
from streamsr.networks.fast import Fast
from streamsr.networks.int8 import runs_int8
from streamsr.networks.recurrent import Recurrent
from streamsr.networks.resample import Resample
from streamsr.networks.sliding import SlidingWindow
from streamsr.zoo.card import Card
from streamsr.zoo.registry import Entry, find, lighter_of
from streamsr.zoo.weights import read_weights

__all__ = ["NETWORKS", "choose", "has_amx", "in_channels_last", "load_model", "make_network"]

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "edvr": EDVR,
    "fast": Fast,
    "recurrent": Recurrent,
    "resample": Resample,
}


def choose(device: torch.device, name: str, folders: Sequence[Path] = ()) -> Entry:
    """Returns the model to run for ``name`` on ``device``: itself, or its card's lighter one on a
    CPU without bfloat16 matrix units.

    A folder's path is taken as it is. Raises ModelError as ``find`` does.
    """
    entry = find(name, folders)
    if os.sep in name or device.type != "cpu" or has_amx():
        return entry
    return lighter_of(entry, folders) or entry


def has_amx() -> bool:
    """Whether this machine's CPU multiplies bfloat16 in matrix units."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def make_network(card: Card) -> nn.Module:
    """Constructs the card's network with fresh parameters. Raises ModelError."""
    if card.network not in NETWORKS:
        known = ", ".join(sorted(NETWORKS))
        raise ModelError(
            f"network: got {card.network!r}{nearest(card.network, NETWORKS)}, allowed are {known}"
        )
    try:
        return NETWORKS[card.network](**card.options)
    except (TypeError, ValueError) as error:
        raise ModelError(f"options of network {card.network!r}: {error}") from None


def load_model(entry: Entry, device: torch.device) -> SlidingWindow:
    """Loads a model, ready to stream: weights checked, on ``device``, in its card's precision.

    Raises ModelError where the weights are missing, damaged or do not fit, and where the network
    does not do what the facts of its card state.
    """
    network = make_network(entry.card)
    if entry.card.weights is not None:
        read_weights(entry.folder / entry.card.weights.file, entry.card.weights.sha256, network)
    elif any(True for _ in network.parameters()):
        raise ModelError(f"model {entry.name!r}: its card names no weights: train or import some")
    network.requires_grad_(False).eval()
    _lay_out(network, entry.card, device)
    try:
        model = SlidingWindow(network, entry.facts)
        _try_facts(model, device)
        return model
    except (IndexError, RuntimeError, ValueError) as error:
        raise ModelError(f"model {entry.name!r}: its card does not fit it: {error}") from None


def in_channels_last(network: nn.Module) -> nn.Module:
    """Returns the network, its weights in the layout that runs fastest."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # a gap in stubs
    return network


def _lay_out(network: nn.Module, card: Card, device: torch.device) -> None:
    """Brings the network to ``device`` in the card's precision, or in what is quicker there."""
    on_cpu = device.type == "cpu"
    if card.precision == "int8" and on_cpu and runs_int8() and not has_amx():
        assert isinstance(network, Fast)  # of which a card makes sure
        network.quantise()
        return
    # a CPU may only emulate bfloat16, slower
    emulated = on_cpu and not torch.cpu.get_capabilities().get("avx512_bf16", False)
    exact = emulated or card.precision == "float32"
    in_channels_last(network.to(device, torch.float32 if exact else torch.bfloat16))


def _try_facts(model: SlidingWindow, device: torch.device) -> None:
    """Runs the smallest stream there can be. Raises ValueError where its output has another shape.

    A card that is wrong about its network would otherwise show as garbage in a stream.
    """
    facts = model.facts
    side = facts.multiple * -(-16 // facts.multiple)
    channels = facts.colour.channels
    finished, state = model.step(
        torch.zeros(1, channels, side, side, device=device), model.start(1, side, side)
    )
    ((_, output),) = [*finished, *model.flush(state, 0)]
    wanted = (channels, facts.scale * side, facts.scale * side)
    if tuple(output.shape) != wanted:
        raise ValueError(f"got an output of {tuple(output.shape)}, its facts state {wanted}")
