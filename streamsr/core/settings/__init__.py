"""What a pipeline or node file may say: ``pipelines/reference.toml`` shows every setting.

Secrets come from the environment or from files of their own.
"""

from streamsr.core.settings.fleet import FleetSettings
from streamsr.core.settings.node import NodeSettings, PipelineSettings
from streamsr.core.settings.serve import MqttSettings, ServeSettings
from streamsr.core.settings.stream import (
    EncoderSettings,
    HlsSettings,
    InputSettings,
    LimitSettings,
    ModelSettings,
    OutputSettings,
    PublishSettings,
    Quality,
    RecordSettings,
    SinkSettings,
    StreamSettings,
)
from streamsr.core.settings.webrtc import IceServerSettings, WebRtcSettings

__all__ = [
    "EncoderSettings",
    "FleetSettings",
    "HlsSettings",
    "IceServerSettings",
    "InputSettings",
    "LimitSettings",
    "ModelSettings",
    "MqttSettings",
    "NodeSettings",
    "OutputSettings",
    "PipelineSettings",
    "PublishSettings",
    "Quality",
    "RecordSettings",
    "ServeSettings",
    "SinkSettings",
    "StreamSettings",
    "WebRtcSettings",
]
