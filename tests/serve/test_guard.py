"""Who may ask: tokens, hosts and origins."""

import aiohttp
import pytest
from broadcast import Broadcast

from streamsr.errors import ConfigError
from streamsr.serve import Server
from streamsr.serve.guard import Failures, is_loopback

TOKEN = "p@ss/w%rd:#1"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST"]
)
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "localhost.evil.org", ""]
)
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_ten_failures_a_minute_block_an_address_and_no_other() -> None:
    failures = Failures()
    for second in range(10):
        assert not failures.blocked("a", second)
        failures.add("a", second)
    assert failures.blocked("a", 10)
    assert not failures.blocked("b", 10)
    assert not failures.blocked("a", 60.5)


def test_the_failures_of_many_addresses_are_bounded() -> None:
    failures = Failures()
    for n in range(5000):
        failures.add(str(n), 0)
    assert len(failures._times_s) <= 1000


def test_off_loopback_a_token_is_needed() -> None:
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0.*token"):
        Server({}, host="0.0.0.0")
    Server({}, host="0.0.0.0", token=TOKEN)


async def test_a_name_that_points_here_does_not_get_in(http: aiohttp.ClientSession) -> None:
    async with Server({}) as server:
        for host, status in [("evil.example", 403), ("localhost:1", 200), ("[", 403)]:
            async with http.get(f"{server.url}api/streams", headers={"Host": host}) as response:
                assert response.status == status, host


async def test_another_site_does_not_get_in(http: aiohttp.ClientSession) -> None:
    async with Server({}) as server:
        own = server.url.rstrip("/")
        for origin, status in [("http://evil.example", 403), ("null", 403), (own, 404)]:
            async with http.post(f"{server.url}whep/x", headers={"Origin": origin}) as response:
                assert response.status == status, origin


async def test_with_a_token_only_who_has_it_sees_the_streams(http: aiohttp.ClientSession) -> None:
    served = Broadcast().served
    async with Server({"camera": served}, token=TOKEN) as server:

        async def ask(path: str, given: str | None) -> tuple[int, str]:
            headers = {} if given is None else {"Authorization": f"Bearer {given}"}
            async with http.get(server.url + path, headers=headers) as response:
                return response.status, await response.text()

        assert (await ask("livez", None))[0] == 200
        assert (await ask("", None))[0] == 200  # the page holds nothing of anyone's
        assert (await ask("api/streams/camera", TOKEN))[0] == 200
        assert (await ask("api/streams/camera", None))[0] == 401
        for _ in range(10):
            status, text = await ask("api/streams/camera", "guess")
            assert status == 401
            assert TOKEN not in text
        assert (await ask("api/streams/camera", TOKEN))[0] == 429
