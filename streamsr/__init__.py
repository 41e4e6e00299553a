"""streamsr: streaming real-time video super-resolution.

``Upscaler`` takes images and returns them upscaled; ``open_pipeline`` opens a stream's whole
pipeline, from its source to its outputs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from streamsr.core.errors import StreamsrError, UserError

if TYPE_CHECKING:
    from streamsr.api.pipelines import open_pipeline
    from streamsr.api.upscaler import Upscaler
    from streamsr.core.settings import PipelineSettings

__all__ = ["PipelineSettings", "StreamsrError", "Upscaler", "UserError", "open_pipeline"]

_LATER = {
    "PipelineSettings": "streamsr.core.settings",
    "Upscaler": "streamsr.api.upscaler",
    "open_pipeline": "streamsr.api.pipelines",
}
"""Names whose modules import torch: they are imported when they are used."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'streamsr' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
