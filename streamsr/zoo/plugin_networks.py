"""Networks of somebody else's code: made by what a plugin gives, and held to the contract."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from streamsr.core.errors import ModelError, StreamsrError
from streamsr.networks.contract import RecurrentNetwork
from streamsr.networks.facts import Facts
from streamsr.plugins.registry import Kind, Plugin, find, told, unknown

__all__ = ["hold_to_contract", "plugin_network"]

logger = logging.getLogger("streamsr")


def plugin_network(name: str, options: Mapping[str, Any], own: list[str]) -> nn.Module:
    """Returns the network that the plugin called ``name`` makes with ``options``.

    Raises ModelError where there is none, beside streamsr's ``own``, it fails, or makes no network.
    """
    plugin = find(Kind.NETWORK, name)
    if plugin is None:
        raise ModelError(f"network: {unknown(Kind.NETWORK, name, own)}")
    factory = plugin.load()
    try:
        network = factory(**options)
    except Exception as error:  # it is others' code: whatever it raises
        logger.debug("%s", plugin, exc_info=error)
        raise plugin.fault(f"options {dict(options)}: {told(error)}") from error
    if not isinstance(network, nn.Module):
        raise plugin.fault(f"got {type(network).__name__}, allowed is a torch.nn.Module")
    return network


def hold_to_contract(network: nn.Module, facts: Facts, name: str) -> None:
    """Has a plugin's network say whose it is where it fails, or gives what its ``facts`` do not
    state: its calls raise ModelError then. Any other network is left as it is."""
    plugin = find(Kind.NETWORK, name)
    if plugin is None or isinstance(network, RecurrentNetwork):
        return
    forward = network.forward

    def checked(window: Tensor) -> Tensor:
        with _faults(plugin):
            output = forward(window)
        if not isinstance(output, Tensor):
            raise plugin.fault(f"got {type(output).__name__} of a window, allowed is a tensor")
        batch, _, channels, height, width = window.shape
        wanted = (batch, channels, facts.scale * height, facts.scale * width)
        if tuple(output.shape) != wanted:
            got = f"got {tuple(output.shape)} of a window of {tuple(window.shape)}"
            raise plugin.fault(f"{got}, its facts state {wanted}")
        return output

    network.forward = checked  # a hook sees no exception


@contextmanager
def _faults(plugin: Plugin) -> Iterator[None]:
    try:
        yield
    except StreamsrError:
        raise
    except Exception as error:  # as above
        logger.debug("%s", plugin, exc_info=error)
        raise plugin.fault(told(error)) from error
