"""How much one address may ask, and how often it may fail."""

import aiohttp
import pytest

from streamsr.serve import Server, guard
from streamsr.serve.rate_limit import ADDRESSES, Failures, Rates, asker


def test_ten_failures_a_minute_block_an_address_and_no_other() -> None:
    failures = Failures()
    for second in range(10):
        assert not failures.blocked("a", second)
        failures.add("a", second)
    assert failures.blocked("a", 10)
    assert not failures.blocked("b", 10)
    assert not failures.blocked("a", 60.5)


def test_a_burst_passes_and_then_as_much_as_flows_in() -> None:
    rates = Rates(per_s=50, burst=200)
    assert [rates.wait_s("a", 0.0) for _ in range(201)] == [0] * 200 + [1]
    assert rates.wait_s("b", 0.0) == 0
    passed = sum(rates.wait_s("a", millisecond / 1000) == 0 for millisecond in range(10_000))
    assert passed == pytest.approx(500, abs=2)
    assert [rates.wait_s("a", 1e6) for _ in range(201)].count(0) == 200, "and no more after a rest"


def test_a_slow_flow_says_when_to_come_back() -> None:
    rates = Rates(per_s=0.1, burst=1)
    assert rates.wait_s("a", 0.0) == 0
    assert rates.wait_s("a", 2.0) == 8
    assert rates.wait_s("a", 10.1) == 0


def test_many_addresses_are_bounded() -> None:
    failures, rates = Failures(), Rates(1, 1)
    for n in range(5000):
        failures.add(str(n), 0)
        rates.wait_s(str(n), 0)
    assert len(failures._times_s) == len(rates._buckets) == ADDRESSES


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
def test_who_is_counted(address: str, counted: str) -> None:
    assert asker(address) == counted


async def test_too_many_requests_are_told_so(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "LOCAL_BURST", 20)
    monkeypatch.setattr(guard, "LOCAL_PER_S", 0.5)
    async with Server({}) as server:
        statuses = []
        for _ in range(25):
            async with http.get(f"{server.url}api/streams") as response:
                statuses.append(response.status)
        assert statuses == [200] * 20 + [429] * 5
        assert response.headers["Retry-After"] == "2"
        async with http.get(f"{server.url}livez") as response:
            assert response.status == 200
