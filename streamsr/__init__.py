"""streamsr: streaming real-time video super-resolution.

``Upscaler`` takes images and returns them upscaled, several of them on one ``Engine``;
``open_pipeline`` opens a stream's whole pipeline, from its source to its outputs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from streamsr.core.errors import (
    ConfigError,
    InputError,
    ModelError,
    OutputError,
    SourceError,
    StreamsrError,
    UserError,
)

if TYPE_CHECKING:
    from streamsr.api.engine import Engine
    from streamsr.api.models import Model, import_model, list_models
    from streamsr.api.opened import OpenedPipeline
    from streamsr.api.pipelines import open_pipeline
    from streamsr.api.saving import save_model
    from streamsr.api.scores import evaluate
    from streamsr.api.upscaled import Upscaled, UpscaledAsync
    from streamsr.api.upscaler import Upscaler
    from streamsr.core.events import Code, Event
    from streamsr.core.frame import ColourTags
    from streamsr.core.packet import Packet, Track
    from streamsr.core.settings import PipelineSettings
    from streamsr.core.status import OutputStatus, StreamStatus
    from streamsr.networks.contract import RecurrentNetwork
    from streamsr.plugins.contracts import EncodedSink, ImageSink, Network, Sink, Source
    from streamsr.plugins.registering import register_network, register_sink, register_source
    from streamsr.plugins.registry import Registration
    from streamsr.train.results import ClipScores, Evaluation, Scores

    __version__: str

__all__ = [
    "ClipScores",
    "Code",
    "ColourTags",
    "ConfigError",
    "EncodedSink",
    "Engine",
    "Evaluation",
    "Event",
    "ImageSink",
    "InputError",
    "Model",
    "ModelError",
    "Network",
    "OpenedPipeline",
    "OutputError",
    "OutputStatus",
    "Packet",
    "PipelineSettings",
    "RecurrentNetwork",
    "Registration",
    "Scores",
    "Sink",
    "Source",
    "SourceError",
    "StreamStatus",
    "StreamsrError",
    "Track",
    "Upscaled",
    "UpscaledAsync",
    "Upscaler",
    "UserError",
    "__version__",
    "evaluate",
    "import_model",
    "list_models",
    "open_pipeline",
    "register_network",
    "register_sink",
    "register_source",
    "save_model",
]

_LATER = {
    "ClipScores": "streamsr.train.results",
    "Code": "streamsr.core.events",
    "ColourTags": "streamsr.core.frame",
    "EncodedSink": "streamsr.plugins.contracts",
    "Engine": "streamsr.api.engine",
    "Evaluation": "streamsr.train.results",
    "Event": "streamsr.core.events",
    "ImageSink": "streamsr.plugins.contracts",
    "Model": "streamsr.api.models",
    "Network": "streamsr.plugins.contracts",
    "OpenedPipeline": "streamsr.api.opened",
    "OutputStatus": "streamsr.core.status",
    "Packet": "streamsr.core.packet",
    "PipelineSettings": "streamsr.core.settings",
    "RecurrentNetwork": "streamsr.networks.contract",
    "Registration": "streamsr.plugins.registry",
    "Scores": "streamsr.train.results",
    "Sink": "streamsr.plugins.contracts",
    "Source": "streamsr.plugins.contracts",
    "StreamStatus": "streamsr.core.status",
    "Track": "streamsr.core.packet",
    "Upscaled": "streamsr.api.upscaled",
    "UpscaledAsync": "streamsr.api.upscaled",
    "Upscaler": "streamsr.api.upscaler",
    "evaluate": "streamsr.api.scores",
    "import_model": "streamsr.api.models",
    "list_models": "streamsr.api.models",
    "open_pipeline": "streamsr.api.pipelines",
    "register_network": "streamsr.plugins.registering",
    "register_sink": "streamsr.plugins.registering",
    "register_source": "streamsr.plugins.registering",
    "save_model": "streamsr.api.saving",
}
"""Names whose modules take their time: they are imported when they are used."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("streamsr.core.version").version_of_streamsr()
    if name not in _LATER:
        raise AttributeError(f"module 'streamsr' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
