"""The models of one stream: chosen once its source is known, loaded, one of them running."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from streamsr.core.events import Code
from streamsr.core.target_size import TargetSize
from streamsr.engine.engines import Engines
from streamsr.media.source import SourceInfo
from streamsr.pipeline.model_fallback import ModelFallback
from streamsr.pipeline.model_session import LoadedModel
from streamsr.pipeline.selection import Selector

__all__ = ["Choose", "Chosen", "ModelChoice", "chooser"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a stream runs: ``models``, the wanted one first and the cheapest last."""

    models: Sequence[LoadedModel]
    target: TargetSize | None = None  # None: as large as the model makes it
    why: str = ""


Choose = Callable[[SourceInfo], Chosen]
"""Chooses for a source, and loads. Raises ModelError and ConfigError."""


def chooser(selector: Selector, engines: Engines) -> Choose:
    """Returns what chooses by ``selector`` and loads into ``engines``."""

    def choose(info: SourceInfo) -> Chosen:
        selection = selector.select(info)
        models = [LoadedModel(entry.name, engines.load(entry)) for entry in selection.entries]
        return Chosen(models, selection.target, selection.why)

    return choose


class ModelChoice:
    """What one stream runs now. Any thread may read it and call it."""

    def __init__(self, wanted: str, choose: Choose) -> None:
        self._asked = wanted
        self._choose = choose
        self._chosen = Chosen(())  # until the source is known
        self._source: tuple[object, ...] | None = None  # that it was chosen for
        self._fallback = ModelFallback(1)
        self._lock = threading.Lock()

    @property
    def current(self) -> LoadedModel | None:
        """The model that runs from the next frame on; None before one is chosen."""
        models = self._chosen.models
        return models[self._fallback.current] if models else None

    @property
    def wanted(self) -> str:
        """The name of the model that runs where nothing stands in its way."""
        models = self._chosen.models
        return models[0].name if models else self._asked

    @property
    def target(self) -> TargetSize | None:
        return self._chosen.target

    @property
    def why(self) -> str:
        return self._chosen.why

    def suit(self, info: SourceInfo) -> LoadedModel:
        """Returns the model to run for a source, chosen anew where it has changed.

        Raises what ``Choose`` does.
        """
        source = (info.width, info.height, info.rate, info.codec)
        if source != self._source:
            self._take(self._choose(info))
            self._source = source
        current = self.current
        assert current is not None  # one was chosen
        return current

    def use(self, choose: Choose, info: SourceInfo | None) -> None:
        """Goes on with what ``choose`` gives, in the size that results have; before the source is
        known, that is later. Raises what ``choose`` does, nothing changed."""
        if info is not None and self._chosen.models:
            self._take(replace(choose(info), target=self.target))
        self._choose = choose

    def observe(
        self, frames: int, dropped: int, waiting: int, now_s: float
    ) -> tuple[Code, str] | None:
        """Falls back or restores; returns what to say where the model has changed.

        The arguments are those of ``ModelFallback.observe``.
        """
        with self._lock:
            before, fallback = self.current, self._fallback
            if before is None:
                return None
            reason = fallback.observe(frames, dropped, waiting, now_s)
            now = self.current
        if reason is None or now is None:
            return None
        code = Code.MODEL_RESTORED if fallback.restored else Code.MODEL_FALLBACK
        return code, f"from {before.name} to {now.name}: {reason}"

    def _take(self, chosen: Chosen) -> None:
        with self._lock:
            self._chosen, self._fallback = chosen, ModelFallback(len(chosen.models))
