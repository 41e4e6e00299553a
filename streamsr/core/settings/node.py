"""What may be said of who watches and steers streams, and the two kinds of file that say it."""

import os
from collections.abc import Iterator, Sequence

from pydantic import Field, field_validator, model_validator

from streamsr.core.config import FilePath, Settings, Text
from streamsr.core.settings.stream import NAME, StreamSettings

__all__ = ["MqttSettings", "NodeSettings", "PipelineSettings", "ServeSettings"]


class ServeSettings(Settings):
    """A page with the video before and after, and WHEP for any player."""

    listen: Text = "127.0.0.1:8080"  # HOST:PORT; port 0 picks a free one
    max_viewers: int = Field(default=8, ge=1, le=100)
    token_file: FilePath | None = None  # first line; left out: STREAMSR_TOKEN, of the environment
    tls_certificate: FilePath | None = None  # PEM, the chain in it
    tls_key: FilePath | None = None  # PEM

    @field_validator("listen")
    @classmethod
    def _is_address(cls, value: str) -> str:
        host, separator, port = value.rpartition(":")
        if not separator or not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError("allowed is HOST:PORT, as in 127.0.0.1:8080, the port 0 to 65535")
        return value

    @model_validator(mode="after")
    def _has_both(self) -> "ServeSettings":
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together: got one of them")
        return self

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


class MqttSettings(Settings):
    """The broker that a node is steered and watched over."""

    host: Text = Field(min_length=1)
    port: int | None = Field(default=None, ge=1, le=65535)  # left out: 1883, with TLS 8883
    username: Text | None = None
    password_file: FilePath | None = None  # first line; left out: STREAMSR_MQTT_PASSWORD, if set
    tls: bool = False
    ca_file: FilePath | None = None  # PEM; left out: the system's authorities
    prefix: str = Field(default="streamsr", pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")
    discovery: bool = True  # by Home Assistant
    discovery_prefix: str = Field(default="homeassistant", pattern=r"^[A-Za-z0-9_-]+$")
    interval_s: float = Field(default=5.0, ge=1, le=3600)  # between metrics
    keepalive_s: int = Field(default=5, ge=2, le=600)  # a frozen broker is noticed after two


class NodeSettings(Settings):
    """A file for ``streamsr node``: many streams, and who watches and steers them."""

    name: str = Field(default="node", pattern=NAME)  # in MQTT's topics
    serve: ServeSettings | None = None
    mqtt: MqttSettings | None = None
    streams: tuple[StreamSettings, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> "NodeSettings":
        names = [stream.name for stream in self.streams]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"streams: got the name {twice[0]!r} twice, each needs one of its own")
        return self

    @model_validator(mode="after")
    def _outputs_differ(self) -> "NodeSettings":
        _refuse_shared(self.streams)
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

    @model_validator(mode="after")
    def _outputs_differ(self) -> "PipelineSettings":
        _refuse_shared([self])
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
            name=self.name, serve=self.serve, mqtt=self.mqtt, streams=(stream,)
        )
