"""How the node of a host serves: to the fleet's gateways alone, by a token made for its run."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamsr.core.files import PRIVATE, write_whole

__all__ = ["Serving"]

TOKEN_BYTES = 32
ANYWHERE = ("0.0.0.0/0", "::/0")
MOST_VIEWERS = 100


@dataclass(frozen=True, slots=True)
class Serving:
    """What a host's node is told of its server."""

    token: str = field(repr=False)
    groups: Mapping[str, Any]  # of NodeSettings

    @classmethod
    def begun(cls, address: str, folder: Path) -> "Serving":
        """Makes a token, in a file of ``folder`` that its owner alone can read.

        ``address`` is the host's own, where gateways reach it. What a gateway says of the client is
        taken wherever it runs: nobody else has the token. Raises OSError.
        """
        token = secrets.token_urlsafe(TOKEN_BYTES)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = folder / "token"
        write_whole(file, token.encode(), PRIVATE)
        host = f"[{address}]" if ":" in address else address
        serve = {
            "listen": f"{host}:0",
            "token_file": str(file),
            "trusted_proxies": list(ANYWHERE),
            "max_viewers": MOST_VIEWERS,
        }
        return cls(token, {"serve": serve})
