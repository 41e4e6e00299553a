"""A whole pipeline in a program of one's own, opened and closed as a context."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import torch

from streamsr.core.config import parse
from streamsr.core.devices import pick_device
from streamsr.core.events import Emit
from streamsr.core.settings import PipelineSettings
from streamsr.engine.engines import Engines
from streamsr.pipeline import build
from streamsr.pipeline.pipeline import Pipeline

__all__ = ["open_pipeline"]


@asynccontextmanager
async def open_pipeline(
    settings: PipelineSettings | dict[str, object], emit: Emit | None = None
) -> AsyncIterator[Pipeline]:
    """Opens a whole pipeline in this process: ``await`` its ``run()``. ``emit`` is told events.

    ``settings`` are those of a pipeline file, as ``pipelines/reference.toml`` shows them. Raises
    ConfigError, InputError, ModelError or OutputError.
    """
    if isinstance(settings, dict):
        settings = parse(settings, PipelineSettings, "settings")
    device = torch.device(pick_device(settings.model.device))
    with (
        Engines(device, own_process=False) as engines,
        build.open_pipeline(settings, emit or (lambda event: None), engines=engines) as opened,
    ):
        yield opened
