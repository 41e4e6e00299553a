"""streamsr: streaming real-time video super-resolution.

``Upscaler`` takes frames and gives frames; ``open_pipeline`` runs a stream from source to outputs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from streamsr.core.errors import StreamsrError, UserError

if TYPE_CHECKING:
    from streamsr.api import Upscaler, open_pipeline
    from streamsr.core.settings import PipelineSettings

__all__ = ["PipelineSettings", "StreamsrError", "Upscaler", "UserError", "open_pipeline"]

_LATER = {
    "PipelineSettings": "streamsr.core.settings",
    "Upscaler": "streamsr.api",
    "open_pipeline": "streamsr.api",
}
"""Names that bring torch along: `streamsr --help` should not wait for it."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'streamsr' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
