"""The models of one stream: chosen once its source is known, loaded, one of them running."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any

from streamsr.core.events import Code
from streamsr.core.target_size import TargetSize
from streamsr.engine.mixed.loading import Load
from streamsr.engine.mixed.passes import passes_of
from streamsr.media.source import SourceInfo
from streamsr.pipeline.channel import Closed
from streamsr.pipeline.model_fallback import ModelFallback
from streamsr.pipeline.model_session import LoadedModel
from streamsr.pipeline.selection import Selector
from streamsr.zoo.registry import Entry

__all__ = ["Choose", "Chosen", "ModelChoice", "chooser", "told_of_passes"]

IN_PASSES = ", in several passes, for its best quality: usual takes one"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a stream runs: ``models``, the wanted one first and the cheapest last."""

    models: Sequence[LoadedModel]
    target: TargetSize | None = None  # None: as large as the model makes it
    why: str = ""
    runs: Sequence[tuple[Entry, float]] = ()  # what computes a frame of the first, and how often


Choose = Callable[[SourceInfo, TargetSize | None], Chosen]
"""Chooses for a source, and loads. A size that results have already is kept: where that is given,
it is the target. Raises ModelError and ConfigError."""


def chooser(selector: Selector, load: Load) -> Choose:
    """Returns what chooses by ``selector`` and loads by ``load``."""

    def choose(info: SourceInfo, kept: TargetSize | None) -> Chosen:
        selection = selector.select(info, kept)
        models = [LoadedModel(entry.name, load(entry)) for entry in selection.entries]
        runs = [(selection.entries[0], passes_of(models[0].engine))]
        return Chosen(models, selection.target, selection.why + told_of_passes(runs), runs)

    return choose


def told_of_passes(runs: Sequence[tuple[Entry, float]]) -> str:
    """Returns what is said beside a choice that ``runs`` its networks several times a frame."""
    return IN_PASSES if any(passes > 1 for _, passes in runs) else ""


class _InUse:
    """What was chosen for a source, and which of its models runs."""

    def __init__(self, info: SourceInfo, chosen: Chosen) -> None:
        self.info = info
        self.chosen = chosen
        self.fallback = ModelFallback(len(chosen.models))

    @property
    def model(self) -> LoadedModel:
        return self.chosen.models[self.fallback.current]


class ModelChoice:
    """What one stream runs now. Any thread may read it and call it."""

    def __init__(self, wanted: str, choose: Choose) -> None:
        self._asked = wanted
        self._choose = choose
        self._in_use: _InUse | None = None  # until the source is known
        self._choosing = threading.Lock()  # one choice after another
        self._closed: Future[None] = Future()

    @property
    def current(self) -> LoadedModel | None:
        """The model that runs from the next frame on; None before one is chosen."""
        return self._in_use.model if self._in_use else None

    @property
    def models(self) -> Sequence[LoadedModel]:
        """What may run, the wanted one first; empty before they are chosen."""
        return self._in_use.chosen.models if self._in_use else ()

    @property
    def wanted(self) -> str:
        """The name of the model that runs where nothing stands in its way."""
        return self._in_use.chosen.models[0].name if self._in_use else self._asked

    @property
    def why(self) -> str:
        """The reason for the choice; "" before there is one."""
        return self._in_use.chosen.why if self._in_use else ""

    def suit(self, info: SourceInfo) -> tuple[LoadedModel, TargetSize | None]:
        """Returns the model to run for a source and the size of its results, chosen again where
        the source has changed.

        Raises what ``Choose`` does, and Closed after ``close``: a choice that is being made then
        is left behind.
        """
        in_use = self._in_use
        if in_use is None or _decisive(info) != _decisive(in_use.info):
            in_use = self._chosen_for(info)
        return in_use.model, in_use.chosen.target

    def use(self, choose: Choose) -> None:
        """Goes on with what ``choose`` gives, in the size that results have; before a first choice
        is made, it makes that. Raises what ``choose`` does, nothing changed."""
        with self._choosing:
            if (in_use := self._in_use) is not None:
                self._in_use = _InUse(in_use.info, choose(in_use.info, in_use.chosen.target))
            self._choose = choose

    def observe(
        self,
        frames: int,
        dropped: int,
        waiting: int,
        now_s: float,
        loses: Callable[[LoadedModel], bool],
    ) -> tuple[Code, str] | None:
        """Falls back or restores; returns what to say where the model has changed.

        The arguments are those of ``ModelFallback.observe``, and whether a model ``loses`` to
        plain scaling. One thread may call it.
        """
        if (in_use := self._in_use) is None:
            return None
        before, fallback = in_use.model, in_use.fallback
        losing = {n for n, model in enumerate(in_use.chosen.models) if loses(model)}
        reason = fallback.observe(frames, dropped, waiting, now_s, losing)
        if reason is None:
            return None
        code = Code.MODEL_RESTORED if fallback.restored else Code.MODEL_FALLBACK
        return code, f"from {before.name} to {in_use.model.name}: {reason}"

    def close(self) -> None:
        """Ends ``suit``, in whichever thread it waits. Closing twice does nothing."""
        if not self._closed.done():
            self._closed.set_result(None)

    def _chosen_for(self, info: SourceInfo) -> _InUse:
        """What is chosen, in a thread of its own, since measuring and loading cannot be cut short:
        left behind, it ends soon after its engines are closed. Raises Closed there."""
        choice: Future[_InUse] = Future()
        ends: tuple[Future[Any], ...] = choice, self._closed

        def run() -> None:
            try:
                with self._choosing:
                    self._in_use = _InUse(info, self._choose(info, None))
                choice.set_result(self._in_use)
            except BaseException as error:  # whatever it is belongs to the one who waits
                choice.set_exception(error)

        # no daemon: it would take a process down that ends while torch computes
        threading.Thread(target=run, name="streamsr-choice").start()
        wait(ends, return_when=FIRST_COMPLETED)
        if not choice.done():
            raise Closed
        return choice.result()


def _decisive(info: SourceInfo) -> tuple[object, ...]:
    """What of a source decides what suits it."""
    return info.width, info.height, info.rate, info.codec
