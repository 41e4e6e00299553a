"""streamsr: streaming real-time video super-resolution.

``Upscaler`` takes frames and gives frames; ``open_pipeline`` runs a stream from source to outputs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from streamsr.errors import StreamsrError, UserError

if TYPE_CHECKING:
    from streamsr.library import Upscaler, open_pipeline
    from streamsr.settings import PipelineSettings

__all__ = ["PipelineSettings", "StreamsrError", "Upscaler", "UserError", "open_pipeline"]

_LATER = {
    "PipelineSettings": "streamsr.settings",
    "Upscaler": "streamsr.library",
    "open_pipeline": "streamsr.library",
}
"""Names that bring torch along: `streamsr --help` should not wait for it."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'streamsr' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
