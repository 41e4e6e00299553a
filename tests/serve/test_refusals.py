"""Refused requests: counted, and told seldom enough."""

import time
from base64 import b64encode
from collections.abc import Mapping

import aiohttp
from letting_in import letting_in

from streamsr.core.events import Code, Event
from streamsr.serve.access.access import Access
from streamsr.serve.access.forwarded import TrustedProxies
from streamsr.serve.access.links import signed
from streamsr.serve.access.rate_limit import ServerLimits
from streamsr.serve.access.refusals import Reason, Refusals
from streamsr.serve.access.secrets import Secrets
from streamsr.serve.access.tokens import Token
from streamsr.serve.app import Server

TOKEN = "the-token-of-who-controls"
LIMITS = ServerLimits(late_s=0.0)


def bearer(token: str, client: str = "192.0.2.1") -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "X-Forwarded-For": client}


def test_each_client_is_told_of_once_a_minute() -> None:
    now_s, events = 0.0, list[Event]()
    refusals = Refusals(events.append, lambda: now_s)
    for _ in range(60):
        now_s += 0.9
        refusals.add(Reason.WRONG_TOKEN, "192.0.2.1", "got a wrong token")
    assert [event.message for event in events] == ["192.0.2.1: got a wrong token"]
    now_s = 61
    refusals.add(Reason.WRONG_TOKEN, "192.0.2.1", "got a wrong token")
    assert events[1].message.endswith("(59 more were refused and not told)")
    refusals.add(Reason.HOST, "192.0.2.1", "got the Host 'x'")
    assert len(events) == 3
    assert refusals.counts == {"wrong_token": 61, "host": 1}


def test_many_clients_fill_no_log() -> None:
    now_s, events = 0.0, list[Event]()
    refusals = Refusals(events.append, lambda: now_s)
    for number in range(100_000):
        now_s = number / 1000
        refusals.add(Reason.WRONG_TOKEN, f"client {number}", "got a wrong token")
    assert len(events) == 5 + 9
    assert refusals.counts[Reason.WRONG_TOKEN] == 100_000


def test_that_a_browser_asks_first_without_a_token_is_no_event() -> None:
    events: list[Event] = []
    refusals = Refusals(events.append, lambda: 0.0)
    refusals.add(Reason.NO_TOKEN, "192.0.2.1", "")
    assert events == []
    assert refusals.counts == {"no_token": 1}


async def ask(http: aiohttp.ClientSession, server: Server, headers: Mapping[str, str]) -> int:
    async with http.get(f"{server.url}api/streams", headers=headers) as response:
        return response.status


async def test_wrong_tokens_cost_who_sends_them(http: aiohttp.ClientSession) -> None:
    """All come by one proxy; it is trusted, and passes on what the client says to the left."""
    events: list[Event] = []
    access = Access(letting_in(TOKEN).secrets, TrustedProxies(["127.0.0.0/8"]))
    async with Server({}, access=access, limits=LIMITS, emit=events.append) as server:
        stranger = "192.0.2.99, 192.0.2.66"
        statuses = [await ask(http, server, bearer(f"wrong{n}", stranger)) for n in range(12)]
        assert statuses == [401] * 10 + [429] * 2
        assert await ask(http, server, bearer(TOKEN, stranger)) == 200
        assert await ask(http, server, bearer(TOKEN, "192.0.2.7")) == 200
        assert await ask(http, server, bearer("wrong", "192.0.2.99")) == 401
        assert await ask(http, server, {}) == 401
        async with http.get(f"{server.url}metrics", headers=bearer(TOKEN)) as response:
            text = await response.text()
    assert 'streamsr_refused_requests_total{reason="wrong_token"} 11.0' in text
    assert 'streamsr_refused_requests_total{reason="many_wrong_tokens"} 2.0' in text
    assert 'streamsr_refused_requests_total{reason="no_token"} 1.0' in text
    told = [event.message for event in events if event.code == Code.ACCESS_REFUSED]
    assert told[0] == "192.0.2.66: got a wrong token"
    assert told[1].startswith("192.0.2.66: got too many wrong tokens; the right one is taken")
    assert "wrong1" not in str(told)


async def test_who_is_not_trusted_shares_one_count_and_the_right_token_gets_in(
    http: aiohttp.ClientSession,
) -> None:
    """A proxy on this machine of which nothing is said."""
    async with Server({}, access=letting_in(TOKEN), limits=LIMITS) as server:
        for number in range(15):
            await ask(http, server, bearer(f"wrong{number}", f"192.0.2.{number}"))
        assert await ask(http, server, bearer("wrong", "192.0.2.200")) == 429
        for client in ("192.0.2.1", "192.0.2.200"):
            assert await ask(http, server, bearer(TOKEN, client)) == 200


async def test_a_flood_of_wrong_tokens_holds_up_no_right_one(http: aiohttp.ClientSession) -> None:
    limits = ServerLimits(late_s=0.0, local_burst=20, local_per_s=1.0)
    async with Server({}, access=letting_in(TOKEN), limits=limits) as server:
        for _ in range(40):
            await ask(http, server, {"Authorization": "Basic " + b64encode(b"x:y").decode()})
        assert await ask(http, server, bearer(TOKEN)) == 200
        link = signed(Token("token", "control", TOKEN), "/snapshot/no.jpg", time.time() + 60)
        async with http.get(f"{server.url}snapshot/no.jpg?token={link}") as response:
            assert response.status == 404, "it is let in"


async def test_a_token_to_view_changes_nothing(http: aiohttp.ClientSession) -> None:
    wall = Token("wall", "view", "the-token-of-the-wall")
    access = Access(Secrets((Token("token", "control", TOKEN), wall)))
    async with Server({}, access=access) as server:
        for method, path, status in [
            ("GET", "api/streams", 200),
            ("HEAD", "", 200),
            ("POST", "whep/no", 404),  # taken: there is no such stream
            ("DELETE", "whep/no/secret", 404),
            ("POST", "api/v1/links", 403),
            ("DELETE", "api/v1/cameras/gate", 403),
            ("POST", "whip/gate", 403),
            ("PUT", "nowhere", 403),
        ]:
            headers = bearer(wall.secret)
            async with http.request(method, server.url + path, headers=headers) as response:
                assert response.status == status, (method, path)
