"""The check of EDVR as frames arrive: its ring and graphs, beside its plain form."""

import logging
from typing import Any

import torch

from benchmarks.cuda_suite.places import Outcome, Place
from benchmarks.cuda_suite.rates import DIFFERENT, pipeline_rate
from benchmarks.cuda_suite.streams import TAGS, apart, clip, edvr, first, through
from streamsr.core.frame import Frame
from streamsr.engine.cuda.engine import CudaEngine
from streamsr.networks.sliding import SlidingWindow

__all__ = ["ring"]

LEVELS = 1


class Warnings(logging.Handler):
    """What the engine warned of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def ring(place: Place) -> Outcome:
    """The same frames in float32, and the rates in what is quick here; all of it captured."""
    warnings = Warnings()
    logging.getLogger("streamsr").addHandler(warnings)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    frames = first(clip(place.sizes.odd, TAGS["601"]), place.sizes.compared)
    exact = [
        made_by(place, form(place, streaming=streaming), frames) for streaming in (True, False)
    ]
    levels = apart(*exact)
    torch.backends.cudnn.allow_tf32 = True
    longer = first(clip(place.sizes.frame, TAGS["709 full"]), DIFFERENT)
    by_ring, plain = (
        pipeline_rate(place, place.quick(form(place, streaming=streaming)), longer)
        for streaming in (True, False)
    )
    figures: dict[str, Any] = {
        "levels apart": levels,
        "by its ring, frames a second": round(by_ring, 2),
        "plain form, frames a second": round(plain, 2),
        "quicker by": round(by_ring / plain, 3),
    }
    if warnings.texts:
        return Outcome("failed", f"warned: {warnings.texts[0]}", figures)
    if levels > LEVELS:
        return Outcome("failed", f"{levels} levels apart", figures)
    got = f"{levels} levels apart, {by_ring / plain:.2f} of the plain form's rate"
    return Outcome(place.judged(by_ring > plain), got, figures)


def form(place: Place, *, streaming: bool) -> SlidingWindow:
    model = edvr(place)(place.torch_device)
    model.streaming = streaming
    return model


def made_by(place: Place, model: SlidingWindow, frames: list[Frame]) -> list[Frame]:
    with CudaEngine(model, place.device(), max_batch=1) as engine:
        return through(engine, frames)
