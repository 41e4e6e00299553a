"""A real Home Assistant in a process of its own, with a broker and a generic camera set up.

`make home-assistant` installs it, in an environment of its own beside the project's.
"""

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

__all__ = ["HASS_INSTALL", "HomeAssistant", "hass_path"]

HASS_INSTALL = "make home-assistant"
HOST = "127.0.0.1"
START_S = 180.0
USER, TOKEN, KEY = "a" * 32, "b" * 32, "c" * 128


def hass_path() -> Path | None:
    """Where it is: as STREAMSR_HASS says, or where ``make home-assistant`` puts it."""
    usual = Path(__file__).parents[2] / ".home-assistant" / "bin" / "hass"
    path = Path(os.environ.get("STREAMSR_HASS", usual))
    return path if path.exists() else None


class HomeAssistant:
    """Home Assistant, its settings in ``folder``; entered, it answers on ``port``."""

    def __init__(
        self, folder: Path, port: int, broker_port: int, generic: Mapping[str, str]
    ) -> None:
        """``generic``: the stream sources of generic cameras, by title."""
        self.port = port
        self.log = folder / "home-assistant.log"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        storage = folder / ".storage"
        storage.mkdir(parents=True)
        (folder / "configuration.yaml").write_text(
            f"http:\n  server_host: {HOST}\n  server_port: {port}\napi:\nwebsocket_api:\nstream:\n"
        )
        entries = [entry("mqtt", "broker", {"broker": HOST, "port": broker_port}, {})]
        entries += [
            entry("generic", title, {}, generic_options(url)) for title, url in generic.items()
        ]
        write(storage, "core.config_entries", {"entries": entries})
        write(storage, "auth", auth())

    def __enter__(self) -> Self:
        path = hass_path()
        assert path is not None, HASS_INSTALL
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [path, "--config", self._folder, "--skip-pip"], stdout=log, stderr=log
            )
        end_s = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end_s:
                raise RuntimeError(f"Home Assistant did not start: {self.log.read_text()}")
            time.sleep(0.5)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @property
    def token(self) -> str:
        """What its APIs are asked with."""
        now = int(time.time())
        claims = {"iss": TOKEN, "iat": now, "exp": now + 86_400}
        signed = ".".join(encoded(json.dumps(part)) for part in ({"alg": "HS256"}, claims))
        mac = hmac.new(KEY.encode(), signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{encoded(mac)}"

    def get(self, path: str) -> bytes:
        """What its API answers."""
        return self._ask(path, None)

    def states(self) -> dict[str, dict[str, Any]]:
        """Every entity, with its state and attributes, by its identifier."""
        return {state["entity_id"]: state for state in json.loads(self.get("/api/states"))}

    def call(self, service: str, entity: str, **data: str) -> None:
        """Has a service act on an entity, as "switch.turn_off"."""
        path = f"/api/services/{service.replace('.', '/')}"
        self._ask(path, json.dumps({"entity_id": entity, **data}).encode())

    def _ask(self, path: str, body: bytes | None) -> bytes:
        request = urllib.request.Request(f"http://{HOST}:{self.port}{path}", data=body)
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as answer:
            content: bytes = answer.read()
        return content

    def _answers(self) -> bool:
        try:
            return b"RUNNING" in self.get("/api/config")
        except OSError:
            return False


def entry(domain: str, title: str, data: object, options: object) -> dict[str, Any]:
    """A config entry of 2024.3."""
    return {
        "entry_id": hashlib.sha256(f"{domain} {title}".encode()).hexdigest()[:32],
        "version": 1,
        "minor_version": 1,
        "domain": domain,
        "title": title,
        "data": data,
        "options": options,
        "pref_disable_new_entities": False,
        "pref_disable_polling": False,
        "source": "user",
        "unique_id": None,
        "disabled_by": None,
    }


def generic_options(stream: str) -> dict[str, object]:
    return {
        "stream_source": stream,
        "authentication": "basic",
        "limit_refetch_to_url_change": False,
        "content_type": "image/jpeg",
        "framerate": 2,
        "verify_ssl": True,
    }


def auth() -> dict[str, Any]:
    """One user, the owner, with a token that lasts."""
    user = {"id": USER, "group_ids": ["system-admin"], "is_owner": True, "is_active": True}
    token = {
        "id": TOKEN,
        "user_id": USER,
        "client_id": None,
        "client_name": "test",
        "client_icon": None,
        "token_type": "long_lived_access_token",
        "created_at": "2024-01-01T00:00:00+00:00",
        "access_token_expiration": 315_360_000.0,
        "token": "d" * 128,
        "jwt_key": KEY,
        "last_used_at": None,
        "last_used_ip": None,
        "credential_id": None,
        "version": "2024.3.3",
    }
    more = {"name": "Owner", "system_generated": False, "local_only": False}
    groups = [{"id": f"system-{kind}", "name": kind} for kind in ("admin", "users", "read-only")]
    return {
        "users": [user | more],
        "groups": groups,
        "credentials": [],
        "refresh_tokens": [token],
    }


def write(storage: Path, key: str, data: object) -> None:
    whole = {"version": 1, "minor_version": 1, "key": key, "data": data}
    (storage / key).write_text(json.dumps(whole))


def encoded(part: str | bytes) -> str:
    raw = part.encode() if isinstance(part, str) else part
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
