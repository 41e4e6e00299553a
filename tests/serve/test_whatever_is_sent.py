"""Whatever a client sends is decided, and never believed without cause."""

import ipaddress
from collections.abc import Mapping

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from letting_in import letting_in
from multidict import CIMultiDict

from streamsr.serve.access.access import Access
from streamsr.serve.access.forwarded import Arrival, TrustedProxies
from streamsr.serve.access.links import carried, expiry_of
from streamsr.serve.access.origins import Origins
from streamsr.serve.access.tokens import Token, find_token, presented_token
from streamsr.serve.app import Server

TOKEN = Token("token", "control", "the-token-of-who-controls")
PEER = "127.0.0.1"
NAMES = [
    *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix"),
    *("Forwarded", "Host", "Origin", "Referer", "Authorization", "Sec-Fetch-Site"),
]
PARTS = [
    *("for=", "host=", "proto=", "by=", ";", ",", '"', "\\", "[", "]", ":", "%", "//", "@", "/"),
    *("192.0.2.1", "127.0.0.1", "2001:db8::1", "unknown", "localhost", "evil.example", "https"),
    *("Basic ", "Bearer ", "Og==", "same-origin", "..", "\udc80", "\x7f", "é"),
]
texts = st.one_of(
    st.lists(st.sampled_from(PARTS), max_size=12).map("".join),
    st.text(max_size=60),
)
sent = st.lists(st.tuples(st.sampled_from(NAMES), texts), max_size=8)


@given(sent)
@settings(max_examples=100, deadline=None)
def test_headers_are_decided(headers: list[tuple[str, str]]) -> None:
    found = TrustedProxies([PEER]).arrival(PEER, CIMultiDict(headers))
    ipaddress.ip_address(found.client.partition("%")[0])
    assert found.scheme in ("", "http", "https")
    assert not set(found.host + found.prefix) & set(" /\"'<>@\\\r\n") - {"/"}
    assert found.prefix == "" or (found.prefix[0] == "/" and "//" not in found.prefix)
    assert TrustedProxies().arrival(PEER, CIMultiDict(headers)) == Arrival(PEER)
    plain: Mapping[str, str] = dict(headers)
    origins = Origins(["https://home.example"])
    origins.refuse_host(plain, found)
    origins.answer("OPTIONS", plain)
    for has_token in (True, False):
        why = origins.refuse_site("POST", plain, found, has_token=has_token)
        taken = plain.get("Sec-Fetch-Site") in (None, "same-origin", "none")
        assert why is not None or taken or "Origin" in plain


@given(texts)
@settings(max_examples=100, deadline=None)
def test_what_is_no_token_is_none(text: str) -> None:
    assert find_token([TOKEN], text) is None
    assert find_token([TOKEN], presented_token(text) or "") is None
    assert expiry_of([TOKEN], "/hls/gate/" + text, text) is None
    carried(text, "t.c")


@pytest.mark.parametrize("value", ["\x80\xff", "a" * 7000, ",".join(["1.2.3.4"] * 800), '\t, ;"'])
async def test_a_server_answers(http: aiohttp.ClientSession, value: str) -> None:
    access = Access(letting_in(TOKEN.secret).secrets, TrustedProxies([PEER]))
    async with Server({}, access=access) as server:
        for name in NAMES:
            if name == "Host":
                continue
            headers = {"Authorization": f"Bearer {TOKEN.secret}"} | {name: value}
            async with http.get(f"{server.url}api/streams", headers=headers) as response:
                assert response.status in (200, 400, 401, 403, 429), name
