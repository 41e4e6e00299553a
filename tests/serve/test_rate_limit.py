"""How much one address may ask, and how often it may fail."""

import aiohttp
import pytest

from streamsr.serve.access.rate_limit import (
    CLIENTS,
    FailureLimit,
    RateLimit,
    ServerLimits,
    client_of,
)
from streamsr.serve.app import Server


def test_failures_are_counted_within_any_minute() -> None:
    failures = FailureLimit(10, 60.0)
    for second in range(10):
        assert failures.wait_s("a", second) == 0
        failures.add("a", second)
    assert failures.wait_s("a", 9) == 51
    assert failures.wait_s("b", 9) == 0
    assert failures.wait_s("a", 60) == 0, "the first one is a minute old"
    failures.add("a", 60)
    assert failures.wait_s("a", 60) == 1


def test_failures_of_many_clients_are_bounded() -> None:
    failures = FailureLimit(1, 60.0)
    for number in range(CLIENTS + 1):
        failures.add(str(number), 0)
    assert failures.wait_s(str(CLIENTS), 0) == failures.wait_s("1", 0) == 60
    assert failures.wait_s("0", 0) == 0, "the oldest was forgotten"


def test_a_burst_passes_and_then_as_much_as_flows_in() -> None:
    rates = RateLimit(per_s=50, burst=200)
    assert [rates.wait_s("a", 0.0) for _ in range(201)] == [0] * 200 + [1]
    assert rates.wait_s("b", 0.0) == 0
    passed = sum(rates.wait_s("a", millisecond / 1000) == 0 for millisecond in range(10_000))
    assert passed == pytest.approx(500, abs=2)
    assert [rates.wait_s("a", 1e6) for _ in range(201)].count(0) == 200, "and no more after a rest"


def test_a_slow_flow_says_when_to_come_back() -> None:
    rates = RateLimit(per_s=0.1, burst=1)
    assert rates.wait_s("a", 0.0) == 0
    assert rates.wait_s("a", 2.0) == 8
    assert rates.wait_s("a", 10.1) == 0


def test_many_clients_are_bounded() -> None:
    rates = RateLimit(1, 1)
    assert {rates.wait_s(str(n), 0) for n in range(CLIENTS + 1)} == {0}
    assert rates.wait_s(str(CLIENTS), 0) == rates.wait_s("1", 0) == 1
    assert rates.wait_s("0", 0) == 0  # the oldest was forgotten


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
        ("", ""),
    ],
)
def test_which_client_a_request_counts_for(address: str, counted: str) -> None:
    assert client_of(address) == counted


async def test_too_many_requests_are_told_so(
    http: aiohttp.ClientSession,
) -> None:
    limits = ServerLimits(local_burst=20, local_per_s=0.5)
    async with Server({}, limits=limits) as server:
        statuses = []
        for _ in range(25):
            async with http.get(f"{server.url}api/streams") as response:
                statuses.append(response.status)
        assert statuses == [200] * 20 + [429] * 5
        assert response.headers["Retry-After"] == "2"
        async with http.get(f"{server.url}livez") as response:
            assert response.status == 200
