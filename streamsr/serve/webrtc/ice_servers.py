"""STUN and TURN servers with their credentials, which are read from their files at each use."""

import logging
from collections.abc import Sequence
from pathlib import Path

from aiortc import RTCIceServer

from streamsr.core.errors import ConfigError
from streamsr.core.first_line import first_line
from streamsr.core.redact import protect_word
from streamsr.core.settings import IceServerSettings

__all__ = ["IceServers"]

log = logging.getLogger(__name__)


class IceServers:
    """The servers of ``webrtc.ice_servers``. A credential whose file changes is used from then on.

    redact() removes every credential that was ever read.
    """

    def __init__(self, settings: Sequence[IceServerSettings]) -> None:
        """Raises ConfigError for a credential that cannot be read."""
        self._settings = tuple(settings)
        self._credentials = {s: _read(s.credential_file) for s in self._settings}

    def get(self) -> list[RTCIceServer]:
        """The servers as RTCConfiguration takes them."""
        return [
            RTCIceServer(list(s.urls), username=s.username, credential=self._credential(s))
            for s in self._settings
        ]

    def as_links(self) -> list[str]:
        """The servers as Link headers, for clients without a page (RFC 9725, 4.6)."""
        links = []
        for s in self._settings:
            login = ""
            if s.username:
                words = (("username", s.username), ("credential", self._credential(s) or ""))
                login = "".join(f'; {name}="{_quoted(word)}"' for name, word in words)
                login += '; credential-type="password"'
            links += [f'<{url}>; rel="ice-server"{login}' for url in s.urls]
        return links

    def as_json(self) -> list[dict[str, object]]:
        """The servers as a browser's RTCConfiguration.iceServers, credentials and all."""
        return [
            {"urls": list(s.urls)}
            | ({"username": s.username, "credential": self._credential(s)} if s.username else {})
            for s in self._settings
        ]

    def _credential(self, server: IceServerSettings) -> str | None:
        try:
            self._credentials[server] = _read(server.credential_file)
        except ConfigError as error:
            log.warning("%s; the one read before is used", error)
        return self._credentials[server]


def _quoted(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"')


def _read(path: Path | None) -> str | None:
    if path is None:
        return None
    line = first_line(path, f"webrtc.ice_servers.credential_file {path}")
    protect_word(line)
    return line
