"""Whose word is taken on where a request comes from."""

import pytest
from multidict import CIMultiDict

from streamsr.serve.access.forwarded import Arrival, TrustedProxies

PROXIES = TrustedProxies(["127.0.0.1", "10.0.0.0/8", "2001:db8:1::/48"])
PEER = "10.0.0.1"


def arrival(*headers: tuple[str, str], peer: str = PEER) -> Arrival:
    return PROXIES.arrival(peer, CIMultiDict(headers))


def test_who_is_not_trusted_is_the_client_whatever_it_says() -> None:
    said = [
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Host", "localhost"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Prefix", "/evil"),
        ("Forwarded", "for=192.0.2.1;host=localhost"),
    ]
    for peer in ("192.0.2.9", "2001:db8:2::1", "", "unix:"):
        assert arrival(*said, peer=peer) == Arrival(peer)
    assert TrustedProxies().arrival("127.0.0.1", CIMultiDict(said)) == Arrival("127.0.0.1")


@pytest.mark.parametrize(
    ("listed", "client"),
    [
        (["192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1:4711"], "192.0.2.1"),
        (["2001:db8:2::1"], "2001:db8:2::1"),
        (["[2001:db8:2::1]:4711"], "2001:db8:2::1"),
        (["203.0.113.5, 192.0.2.1"], "192.0.2.1"),  # the first came with the request
        (["127.0.0.1, 192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1, 10.1.1.1, 127.0.0.1"], "192.0.2.1"),
        (["203.0.113.5", "192.0.2.1, 10.1.1.1"], "192.0.2.1"),  # of two lines
        (["192.0.2.1, 2001:db8:1::7"], "192.0.2.1"),
        (["10.1.1.1, 10.1.1.2"], "10.1.1.1"),  # no client is further out
        (["unknown"], PEER),
        (["192.0.2.1, unknown"], PEER),
        (["192.0.2.1, unknown, 10.1.1.1"], "10.1.1.1"),
        (["localhost"], PEER),
        (["::ffff:10.1.1.1, 192.0.2.1"], "192.0.2.1"),
        ([""], PEER),
        ([",,,"], PEER),
        (["192.0.2.1" + ", 10.0.0.1" * 1000], "192.0.2.1"),
    ],
)
def test_x_forwarded_for_is_read_from_the_right(listed: list[str], client: str) -> None:
    assert arrival(*(("X-Forwarded-For", line) for line in listed)).client == client


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("for=192.0.2.1", Arrival("192.0.2.1")),
        ('FOR="192.0.2.1:80"', Arrival("192.0.2.1")),
        ('for="[2001:db8:2::1]:4711";proto=https', Arrival("2001:db8:2::1", "https")),
        (
            "for=203.0.113.5;host=evil, for=192.0.2.1;host=cam.example;proto=https;by=10.0.0.9",
            Arrival("192.0.2.1", "https", "cam.example"),
        ),
        (
            "for=192.0.2.1; proto=https; host=cam.example:8443, for=10.0.0.2; host=inner",
            Arrival("192.0.2.1", "https", "cam.example:8443"),
        ),
        ("for=_hidden;host=cam.example", Arrival(PEER, "", "cam.example")),
        ("for=unknown", Arrival(PEER)),
        (r'for="192.0.2.1\", for=203.0.113.5"', Arrival(PEER)),
        ("for", Arrival(PEER)),
        ("for=192.0.2.1;;=", Arrival(PEER)),
        ('for="', Arrival(PEER)),
    ],
)
def test_forwarded_is_read_from_the_right(text: str, found: Arrival) -> None:
    assert arrival(("Forwarded", text)) == found


@pytest.mark.parametrize(
    "forged", ["for=203.0.113.5", "for=127.0.0.1;host=evil.example;proto=http", "malformed", ""]
)
def test_x_forwarded_for_counts_where_both_headers_are_there(forged: str) -> None:
    """A proxy that writes it passes on the other one as it came."""
    said = [
        ("X-Forwarded-For", "203.0.113.5, 192.0.2.1"),
        ("X-Forwarded-Prefix", "/video"),
        ("Forwarded", forged),
    ]
    assert arrival(*said) == Arrival("192.0.2.1", prefix="/video")
    no_list = [("X-Forwarded-For", "unknown"), ("Forwarded", forged)]
    assert arrival(*no_list) == Arrival(PEER)
    beside = [("X-Forwarded-Proto", "https"), ("Forwarded", "for=192.0.2.1;host=cam.example")]
    assert arrival(*beside) == Arrival("192.0.2.1", "", "cam.example")


def test_what_else_a_proxy_says() -> None:
    found = arrival(
        ("X-Forwarded-For", "203.0.113.5, 192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "CAM.example:8443"),
        ("X-Forwarded-Prefix", "/streamsr/"),
    )
    assert found == Arrival("192.0.2.1", "https", "cam.example:8443", "/streamsr")
    assert arrival(("X-Forwarded-Prefix", "/a, /b")) == Arrival(PEER, prefix="/a/b")
    of_two = arrival(
        ("X-Forwarded-For", "192.0.2.1, 10.1.1.1"),
        ("X-Forwarded-Host", "cam.example, inner"),
        ("X-Forwarded-Proto", "https, http"),
    )
    assert (of_two.host, of_two.scheme) == ("cam.example", "https")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Host", "evil.example/"),
        ("Host", "a b"),
        ("Host", "<script>"),
        ("Proto", "javascript"),
        ("Prefix", "//evil.example"),
        ("Prefix", "/.."),
        ("Prefix", "/a/../b"),
        ("Prefix", '/"><script>'),
        ("Prefix", "evil"),
    ],
)
def test_what_is_none_of_it_is_left_out(name: str, text: str) -> None:
    found = arrival(("X-Forwarded-For", "192.0.2.1"), (f"X-Forwarded-{name}", text))
    assert found == Arrival("192.0.2.1")
