"""Adding a source, a sink or a network in this process, as an installed package does in all."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from streamsr.plugins.contracts import Network, SinkFactory, SourceFactory
from streamsr.plugins.registry import Kind, Registration, register

if TYPE_CHECKING:  # it imports torch
    from streamsr.networks.contract import RecurrentNetwork

__all__ = ["register_network", "register_sink", "register_source"]


def register_source(scheme: str, make: SourceFactory) -> Registration:
    """Has ``make`` called with each input whose address begins with ``scheme://``.

    It is known in this process alone; the entry point group ``streamsr.sources`` is for all. The
    same factory may be registered again. Raises ConfigError where the scheme is none, or is
    streamsr's own or another's.
    """
    return register(Kind.SOURCE, scheme, make)


def register_sink(scheme: str, make: SinkFactory) -> Registration:
    """Has ``make`` called with the address of each of ``sinks`` that begins with ``scheme://``.

    As ``register_source`` does; the entry point group is ``streamsr.sinks``.
    """
    return register(Kind.SINK, scheme, make)


def register_network(
    name: str, make: "Callable[..., Network | RecurrentNetwork[Any]]"
) -> Registration:
    """Has ``make`` called with the options of each card whose ``network`` is ``name``.

    As ``register_source`` does; the entry point group is ``streamsr.networks``. For options that it
    does not take, ``make`` raises ValueError or TypeError.
    """
    return register(Kind.NETWORK, name, make)
