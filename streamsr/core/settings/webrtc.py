"""What may be said of how WebRTC finds its way: ports, addresses, STUN and TURN servers."""

import ipaddress
import re

from pydantic import Field, field_validator, model_validator

from streamsr.core.config import FilePath, Settings, Text

__all__ = ["IceServerSettings", "WebRtcSettings"]

PORTS = re.compile(r"(\d{1,5})-(\d{1,5})|(\d{1,5})")
SERVER = re.compile(  # RFC 7064, RFC 7065
    r"stuns?:[^\s?:@/]+(:\d{1,5})?|turns?:[^\s?:@/]+(:\d{1,5})?(\?transport=(udp|tcp))?"
)


class IceServerSettings(Settings):
    """A STUN or TURN server, which viewers are told of and streamsr uses itself."""

    urls: tuple[Text, ...] = Field(min_length=1)  # stun: stuns: turn: turns:, HOST or HOST:PORT
    username: Text | None = None  # of TURN
    credential_file: FilePath | None = None  # first line: the password of TURN

    @field_validator("urls")
    @classmethod
    def _are_servers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(SERVER.fullmatch(url) for url in value):
            raise ValueError(
                "allowed are stun:HOST, turn:HOST, turn:HOST:PORT?transport=tcp, turns:HOST"
            )
        return value

    @model_validator(mode="after")
    def _has_login(self) -> "IceServerSettings":
        turn = any(url.startswith("turn") for url in self.urls)
        if turn and (self.username is None or self.credential_file is None):
            raise ValueError("a TURN server needs username and credential_file")
        return self


class WebRtcSettings(Settings):
    """The way of video and audio over UDP, beside the HTTP of [serve]."""

    udp_ports: str | None = None  # "FIRST-LAST"; left out: any that is free
    announce: tuple[str, ...] = ()  # addresses under which those ports are reached
    interfaces: tuple[Text, ...] = ()  # left out: all but those of containers and virtual machines
    ice_servers: tuple[IceServerSettings, ...] = ()

    @field_validator("udp_ports")
    @classmethod
    def _is_range(cls, value: str | None) -> str | None:
        if value is not None and not _range(value):
            raise ValueError("allowed is FIRST-LAST, as in 50000-50019, ports of 1 to 65535")
        return value

    @field_validator("announce")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            try:
                ipaddress.ip_address(address)
            except ValueError:
                raise ValueError("allowed are IP addresses, as in 192.0.2.10") from None
        return value

    @property
    def ports(self) -> range:
        """The ports that a socket may have; 0 alone where any will do."""
        return range(1) if self.udp_ports is None else _range(self.udp_ports)


def _range(text: str) -> range:
    """The ports of "FIRST-LAST" or "PORT"; none where that is no range of ports."""
    match = PORTS.fullmatch(text)
    if match is None:
        return range(0)
    first, last = int(match[1] or match[3]), int(match[2] or match[3])
    return range(first, last + 1) if 0 < first <= last < 65536 else range(0)
