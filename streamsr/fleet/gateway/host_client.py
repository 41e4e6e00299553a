"""Requests of a gateway to the hosts' nodes, by the token that each has for it."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from aiohttp import ClientSession, ClientTimeout, ClientWebSocketResponse, TCPConnector
from aiohttp.client import _RequestContextManager

from streamsr.core.errors import StreamsrError, UserError
from streamsr.fleet.messages import HostAddress

__all__ = ["HostClient"]

CONNECT_S = 2.0
SILENT_S = 60.0  # that a host may be in the middle of an answer
AT_A_TIME = 0  # connections: as many as there are requests, which the server bounds
MAX_BYTES = 16 * 1024 * 1024  # of a message over a WebSocket


class HostClient:
    """One HTTP client for all hosts, while the ``async with`` lasts."""

    def __init__(self) -> None:
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = ClientSession(
            connector=TCPConnector(limit=AT_A_TIME),
            timeout=ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENT_S),
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def request(
        self,
        host: HostAddress,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> _RequestContextManager:
        """Asks for a path, with its query, as it came: nothing is decoded or joined."""
        asked = dict(headers or {}) | _authorization(host)
        url = host.url.rstrip("/") + path
        return self._opened.request(method, url, headers=asked, data=data, allow_redirects=False)

    async def get_json(self, host: HostAddress, path: str) -> Any:
        """Raises aiohttp.ClientError, ValueError."""
        async with self.request(host, "GET", path) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def command(self, host: HostAddress, method: str, path: str) -> bytes:
        """Returns what a host answers. Raises UserError or StreamsrError with what it says."""
        async with self.request(host, method, path) as answer:
            body: bytes = await answer.read()
            if answer.status < 300:
                return body
            detail = body.decode(errors="replace")
            if "json" in answer.content_type:
                detail = str((await answer.json(content_type=None)).get("detail", detail))
            refused = answer.status in (404, 422)
            raise UserError(detail) if refused else StreamsrError(detail)

    async def socket(self, host: HostAddress, path: str) -> ClientWebSocketResponse:
        """Opens a WebSocket. Raises aiohttp.ClientError."""
        url = host.url.rstrip("/") + path
        return await self._opened.ws_connect(
            url, headers=_authorization(host), max_msg_size=MAX_BYTES, heartbeat=10.0
        )

    @property
    def _opened(self) -> ClientSession:
        assert self._session is not None, "entered"
        return self._session


def _authorization(host: HostAddress) -> dict[str, str]:
    return {"Authorization": f"Bearer {host.token}"} if host.token else {}
