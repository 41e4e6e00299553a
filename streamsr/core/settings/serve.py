"""What may be said of who watches and steers streams: over HTTP, and over MQTT."""

import ipaddress
import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from streamsr.core.config import FilePath, Settings, Text
from streamsr.core.settings.shapes import PageUrl, PlainLetters, PlainName, Topic
from streamsr.core.settings.stream import repeated

__all__ = ["MqttSettings", "ServeSettings", "TokenSettings"]

MAIN_TOKEN = "token"  # the name of the one of serve.token_file, or of the environment
DEFAULT_PORTS = {"http": 80, "https": 443}
BASE_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")
HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


class TokenSettings(Settings):
    """A token of its own for each who watches or steers, so that one can be taken back."""

    name: PlainName
    role: Literal["view", "control"] = "view"
    file: FilePath  # its first line


class ServeSettings(Settings):
    """A page with the video before and after, and WHEP for any player."""

    listen: Text = "127.0.0.1:8080"  # HOST:PORT; port 0 picks a free one
    max_viewers: int = Field(default=8, ge=1, le=100)
    token_file: FilePath | None = None  # first line; left out: STREAMSR_TOKEN, of the environment
    tokens: tuple[TokenSettings, ...] = ()  # beside that one, which may do everything
    tls_certificate: FilePath | None = None  # PEM, the chain in it
    tls_key: FilePath | None = None  # PEM
    trusted_proxies: tuple[Text, ...] = ()  # addresses and networks whose word on clients is taken
    base_path: Text = ""  # "/PATH" below which a proxy passes requests on as they came
    allowed_origins: tuple[Text, ...] = ()  # of pages that may embed and ask: SCHEME://HOST[:PORT]
    prefer: Literal["webrtc", "hls"] = "webrtc"  # what the page plays first
    edits: Literal["state", "file", "forget"] = "state"  # where a node keeps what is changed
    state_folder: FilePath | None = None  # of "state"; left out: the service's, or the user's

    @field_validator("listen")
    @classmethod
    def _is_address(cls, value: str) -> str:
        host, separator, port = value.rpartition(":")
        if not separator or not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError("allowed is HOST:PORT, as in 127.0.0.1:8080, the port 0 to 65535")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            try:
                ipaddress.ip_network(value, strict=False)
            except ValueError:
                raise ValueError(
                    f"{value!r} is neither: allowed are addresses and networks, as in "
                    "127.0.0.1 or 10.0.0.0/8"
                ) from None
        return values

    @field_validator("base_path")
    @classmethod
    def _is_path(cls, value: str) -> str:
        if not BASE_PATH.fullmatch(value.rstrip("/")):
            raise ValueError("allowed is a path of plain names, as in /streamsr")
        return value.rstrip("/")

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_origin(value) for value in values)

    @model_validator(mode="after")
    def _has_both(self) -> "ServeSettings":
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together: got one of them")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> "ServeSettings":
        names = [MAIN_TOKEN, *(token.name for token in self.tokens)]
        twice = repeated(names)
        if twice:
            raise ValueError(
                f"tokens: got the name {twice!r} twice, each needs one of its own, and "
                f"{MAIN_TOKEN!r} is that of token_file"
            )
        return self

    @property
    def lasting(self) -> "ServeSettings":
        """What holds until the node ends: all but its tokens."""
        return self.model_copy(update={"token_file": None, "tokens": ()})

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


def _origin(value: str) -> str:
    """An origin as browsers send it (RFC 6454, 6.2): in small letters, no port that is implied.

    Raises ValueError for all else; "*" too, since whoever may ask may watch.
    """
    try:
        parts = urlsplit(value.lower())
        host, port = parts.hostname or "", parts.port
        address = f"[{ipaddress.IPv6Address(host)}]" if ":" in host else host
    except ValueError:
        host = ""
    rest = host and (parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc)
    if not host or rest or parts.scheme not in DEFAULT_PORTS:
        raise ValueError(f"{value!r} is none: allowed is SCHEME://HOST, as in https://home.example")
    if ":" not in host and not HOST.fullmatch(host):
        raise ValueError(f"{value!r} is none: a name beyond ASCII is written as browsers send it")
    implied = port in (None, DEFAULT_PORTS[parts.scheme])
    return f"{parts.scheme}://{address}" + ("" if implied else f":{port}")


class MqttSettings(Settings):
    """The broker that a node is steered and watched over."""

    host: Text = Field(min_length=1)
    port: int | None = Field(default=None, ge=1, le=65535)  # left out: 1883, with TLS 8883
    username: Text | None = None
    password_file: FilePath | None = None  # first line; left out: STREAMSR_MQTT_PASSWORD, if set
    tls: bool = False
    ca_file: FilePath | None = None  # PEM; left out: the system's authorities
    prefix: Topic = "streamsr"
    discovery: bool = True  # by Home Assistant
    discovery_prefix: PlainLetters = "homeassistant"
    discovery_form: Literal["device", "components"] = "device"  # components: before 2024.11
    page_url: PageUrl | None = None  # of the page, as
    # Home Assistant reaches it: no user name or password in it
    image_s: float = Field(default=10.0, ge=0, le=86_400)  # between images; 0: when asked for alone
    interval_s: float = Field(default=5.0, ge=1, le=3600)  # between metrics
    keepalive_s: int = Field(default=5, ge=2, le=600)  # a frozen broker is noticed after two
