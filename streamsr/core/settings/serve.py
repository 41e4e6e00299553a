"""What may be said of who watches and steers streams: over HTTP, and over MQTT."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from streamsr.core.config import FilePath, Settings, Text

__all__ = ["MqttSettings", "ServeSettings"]


class ServeSettings(Settings):
    """A page with the video before and after, and WHEP for any player."""

    listen: Text = "127.0.0.1:8080"  # HOST:PORT; port 0 picks a free one
    max_viewers: int = Field(default=8, ge=1, le=100)
    token_file: FilePath | None = None  # first line; left out: STREAMSR_TOKEN, of the environment
    tls_certificate: FilePath | None = None  # PEM, the chain in it
    tls_key: FilePath | None = None  # PEM
    prefer: Literal["webrtc", "hls"] = "webrtc"  # what the page plays first

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
