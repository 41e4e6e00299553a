"""How a stream's models are loaded."""

from typing import Protocol

from streamsr.engine.base import ModelEngine
from streamsr.networks.flow import USUAL, Search
from streamsr.zoo.registry import Entry

__all__ = ["Load"]


class Load(Protocol):
    """Returns a model's engine, a recurrent network's with its search for motion.

    Raises ModelError.
    """

    def __call__(self, entry: Entry, search: Search = USUAL, /) -> ModelEngine: ...
