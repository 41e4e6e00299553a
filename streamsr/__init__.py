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
    from streamsr.core.events import Code, Event
    from streamsr.core.packet import Packet, Track
    from streamsr.core.settings import PipelineSettings
    from streamsr.networks.contract import RecurrentNetwork
    from streamsr.plugins.contracts import EncodedSink, ImageSink, Network, Sink, Source
    from streamsr.plugins.registering import register_network, register_sink, register_source
    from streamsr.plugins.registry import Registration

__all__ = [
    "Code",
    "EncodedSink",
    "Event",
    "ImageSink",
    "Network",
    "Packet",
    "PipelineSettings",
    "RecurrentNetwork",
    "Registration",
    "Sink",
    "Source",
    "StreamsrError",
    "Track",
    "Upscaler",
    "UserError",
    "open_pipeline",
    "register_network",
    "register_sink",
    "register_source",
]

_LATER = {
    "Code": "streamsr.core.events",
    "EncodedSink": "streamsr.plugins.contracts",
    "Event": "streamsr.core.events",
    "ImageSink": "streamsr.plugins.contracts",
    "Network": "streamsr.plugins.contracts",
    "Packet": "streamsr.core.packet",
    "PipelineSettings": "streamsr.core.settings",
    "RecurrentNetwork": "streamsr.networks.contract",
    "Registration": "streamsr.plugins.registry",
    "Sink": "streamsr.plugins.contracts",
    "Source": "streamsr.plugins.contracts",
    "Track": "streamsr.core.packet",
    "Upscaler": "streamsr.api.upscaler",
    "open_pipeline": "streamsr.api.pipelines",
    "register_network": "streamsr.plugins.registering",
    "register_sink": "streamsr.plugins.registering",
    "register_source": "streamsr.plugins.registering",
}
"""Names whose modules import torch: they are imported when they are used."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'streamsr' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
