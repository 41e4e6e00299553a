"""How much of what is there for all one client may hold at a time."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from streamsr.serve.access.forwarded import ARRIVAL, is_loopback
from streamsr.serve.access.rate_limit import client_of

__all__ = ["Shares", "asking"]


def asking(request: web.Request) -> str:
    """The client that a request counts for."""
    return client_of(request[ARRIVAL].client)


class Shares:
    """Of ``most`` one client holds half at most, so that others find some.

    This machine's own address may hold all: a proxy that is not trusted to say otherwise has it.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._held: Counter[str] = Counter()  # by client

    def __len__(self) -> int:
        return self._held.total()

    def allowed(self, client: str) -> int:
        """How many a client may hold in all."""
        return self.most if is_loopback(client) else max(1, self.most // 2)

    def full(self, client: str) -> bool:
        """Whether a client may hold no more now."""
        return len(self) >= self.most or self._held[client] >= self.allowed(client)

    @contextmanager
    def hold(self, client: str) -> Iterator[None]:
        """Counts one for a client while entered."""
        self._held[client] += 1
        try:
            yield
        finally:
            self._held[client] -= 1
            if not self._held[client]:
                del self._held[client]
