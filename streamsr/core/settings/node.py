"""The two kinds of file: of one stream and of many, with who watches and steers them."""

import os
from collections.abc import Iterator, Sequence

from pydantic import Field, model_validator

from streamsr.core.config import Settings
from streamsr.core.live_address import WHIP
from streamsr.core.settings.serve import MqttSettings, ServeSettings
from streamsr.core.settings.shapes import PlainName
from streamsr.core.settings.stream import StreamSettings, repeated
from streamsr.core.settings.webrtc import WebRtcSettings

__all__ = ["NodeSettings", "PipelineSettings"]


class NodeSettings(Settings):
    """A file for ``streamsr node``: many streams, and who watches and steers them."""

    name: PlainName = "node"  # in MQTT's topics
    serve: ServeSettings | None = None
    mqtt: MqttSettings | None = None
    webrtc: WebRtcSettings = WebRtcSettings()
    streams: tuple[StreamSettings, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> "NodeSettings":
        names = [stream.name for stream in self.streams]
        twice = repeated(names)
        if twice:
            raise ValueError(f"streams: got the name {twice!r} twice, each needs one of its own")
        return self

    @model_validator(mode="after")
    def _outputs_differ(self) -> "NodeSettings":
        _refuse_shared(self.streams)
        return self

    @model_validator(mode="after")
    def _are_served(self) -> "NodeSettings":
        _refuse_unserved(self.serve, self.streams)
        return self


def _refuse_shared(streams: Sequence[StreamSettings]) -> None:
    """Raises ValueError where two outputs would write over each other; recordings never do."""
    owners: dict[tuple[str, str], str] = {}
    for stream in streams:
        for output in _outputs(stream):
            if output in owners:
                raise ValueError(
                    f"streams: got the same {output[0]} twice, of {owners[output]!r} and of "
                    f"{stream.name!r}, each needs one of its own"
                )
            owners[output] = stream.name


def _refuse_unserved(serve: ServeSettings | None, streams: Sequence[StreamSettings]) -> None:
    """Raises ValueError for what [serve] alone takes, where there is no such group."""
    for stream in streams if serve is None else ():
        if stream.input.url == WHIP:
            raise ValueError(f"input.url: got {WHIP!r}, which [serve] takes: that group is missing")


def _outputs(stream: StreamSettings) -> Iterator[tuple[str, str]]:
    """What a stream alone may write to: the key of the setting, and where to."""
    if stream.output.path is not None:
        yield "output.path", os.path.normpath(stream.output.path)
    if stream.hls is not None and stream.hls.folder is not None:
        yield "hls.folder", os.path.normpath(stream.hls.folder)
    for target in stream.publish:
        scheme, _, rest = target.url.partition("://")
        yield "publish.url", f"{scheme.lower()}://{rest.rpartition('@')[2].rstrip('/')}"


class PipelineSettings(StreamSettings):
    """A file for ``streamsr run``: one stream, and who watches and steers it."""

    serve: ServeSettings | None = None
    mqtt: MqttSettings | None = None
    webrtc: WebRtcSettings = WebRtcSettings()

    @model_validator(mode="after")
    def _outputs_differ(self) -> "PipelineSettings":
        _refuse_shared([self])
        return self

    @model_validator(mode="after")
    def _is_served(self) -> "PipelineSettings":
        _refuse_unserved(self.serve, [self])
        return self

    @property
    def needs_node(self) -> bool:
        """Whether there is more to do than to write a file."""
        return bool(self.serve or self.mqtt or self.publish or self.hls or self.record)

    def as_node(self) -> NodeSettings:
        """The node of this stream alone, of the same name."""
        groups = {name: getattr(self, name) for name in StreamSettings.model_fields}
        stream = StreamSettings.model_construct(**groups)
        return NodeSettings.model_construct(
            name=self.name,
            serve=self.serve,
            mqtt=self.mqtt,
            webrtc=self.webrtc,
            streams=(stream,),
        )
