"""Making networks of cards and loading their weights, ready to stream on a device."""

from collections.abc import Callable

import torch
from torch import nn

from streamsr.core.errors import ModelError
from streamsr.networks.edvr import EDVR
from streamsr.networks.fast import Fast
from streamsr.networks.int8 import runs_int8
from streamsr.networks.recurrent import Recurrent
from streamsr.networks.recurrent_int8 import Int8Recurrent
from streamsr.networks.resample import Resample
from streamsr.networks.sliding import SlidingWindow
from streamsr.zoo.card import PRECISIONS, Card, Precision
from streamsr.zoo.plugin_networks import hold_to_contract, plugin_network
from streamsr.zoo.registry import Entry
from streamsr.zoo.weights import read_weights

__all__ = [
    "NETWORKS",
    "check_facts",
    "in_channels_last",
    "load_model",
    "make_network",
    "precisions_of",
]

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "edvr": EDVR,
    "fast": Fast,
    "recurrent": Recurrent,
    "resample": Resample,
}


def precisions_of(card: Card, device: torch.device) -> tuple[Precision, ...]:
    """Returns the precisions that a card allows and ``device`` has instructions for, the most
    exact first. A CPU without them would only emulate bfloat16, slower."""
    on_cpu = device.type == "cpu"
    can = torch.cpu.get_capabilities()
    has_bfloat16 = not on_cpu or bool(can.get("avx512_bf16") or can.get("amx_bf16"))
    able = {"float32": True, "bfloat16": has_bfloat16, "int8": on_cpu and runs_int8()}
    allowed = PRECISIONS[: PRECISIONS.index(card.precision) + 1]
    return tuple(one for one in allowed if able[one])


def make_network(card: Card) -> nn.Module:
    """Constructs the card's network with fresh parameters. Raises ModelError."""
    if card.network not in NETWORKS:
        return plugin_network(card.network, card.options, sorted(NETWORKS))
    try:
        return NETWORKS[card.network](**card.options)
    except (TypeError, ValueError) as error:
        raise ModelError(f"options of network {card.network!r}: {error}") from None


def load_model(
    entry: Entry, device: torch.device, precision: Precision | None = None
) -> SlidingWindow:
    """Loads a model, ready to stream: weights checked, on ``device``, in ``precision``.

    Left out, that is the lowest one of ``precisions_of``. Raises ModelError where the weights are
    missing, damaged or do not fit, where the network does not do what the facts of its card state,
    and where the card or the device does not allow the precision.
    """
    able = precisions_of(entry.card, device)
    if precision is not None and precision not in able:
        allowed = ", ".join(able)
        raise ModelError(
            f"model {entry.name!r}: precision: got {precision!r}, allowed here are {allowed}"
        )
    with torch.random.fork_rng(devices=()):  # a caller's numbers do not depend on it
        network = make_network(entry.card)
    if entry.card.weights is not None:
        read_weights(entry.folder / entry.card.weights.file, entry.card.weights.sha256, network)
    elif any(True for _ in network.parameters()):
        raise ModelError(f"model {entry.name!r}: its card names no weights: train or import some")
    return _ready(network, entry.name, entry.card, device, precision or able[-1])


def check_facts(name: str, card: Card) -> None:
    """Raises ModelError where the network of a card does not do what its facts state."""
    with torch.random.fork_rng(devices=()):
        _ready(make_network(card), name, card, torch.device("cpu"), "float32")


def _ready(
    network: nn.Module, name: str, card: Card, device: torch.device, precision: Precision
) -> SlidingWindow:
    facts = card.facts.facts()
    try:
        network = _laid_out(network.requires_grad_(False).eval(), device, precision)
        if card.network not in NETWORKS:
            hold_to_contract(network, facts, card.network)
        model = SlidingWindow(network, facts, precision)
        _try_facts(model, device)
        return model
    except (IndexError, RuntimeError, ValueError) as error:
        raise ModelError(f"model {name!r}: its card does not fit it: {error}") from None


def in_channels_last(network: nn.Module) -> nn.Module:
    """Returns the network, its weights in the layout that runs fastest."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # a gap in stubs
    return network


def _laid_out(network: nn.Module, device: torch.device, precision: Precision) -> nn.Module:
    """The network on ``device`` in a precision, its weights in the layout that runs fastest."""
    network = network.float()  # whatever new parameters are in the caller's process
    if precision == "int8":
        if isinstance(network, Recurrent):
            return Int8Recurrent(network).eval()
        assert isinstance(network, Fast)  # of which a card makes sure
        network.quantise()
        return network
    dtype = torch.float32 if precision == "float32" else torch.bfloat16
    return in_channels_last(network.to(device, dtype))


def _try_facts(model: SlidingWindow, device: torch.device) -> None:
    """Runs the smallest stream there can be. Raises ValueError where its output has another shape.

    A card that is wrong about its network would otherwise show as garbage in a stream.
    """
    facts = model.facts
    side = facts.multiple * -(-16 // facts.multiple)
    channels = facts.colour.channels
    finished, state = model.step(
        torch.zeros(1, channels, side, side, dtype=torch.float32, device=device),
        model.start(1, side, side),
    )
    ((_, output),) = [*finished, *model.flush(state, 0)]
    wanted = (channels, facts.scale * side, facts.scale * side)
    if tuple(output.shape) != wanted:
        raise ValueError(f"got an output of {tuple(output.shape)}, its facts state {wanted}")
