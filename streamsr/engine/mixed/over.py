"""What engines over another engine have of it."""

import torch

from streamsr.engine.base import ModelEngine
from streamsr.networks.sliding import SlidingWindow

__all__ = ["EngineOver"]


class EngineOver:
    """An engine whose frames another one makes: model, device and workers are that one's."""

    def __init__(self, engine: ModelEngine) -> None:
        self._engine = engine

    @property
    def model(self) -> SlidingWindow:
        return self._engine.model

    @property
    def device(self) -> torch.device:
        return self._engine.device

    @property
    def workers(self) -> int:
        return self._engine.workers
