"""Offers and fragments from strangers."""

import random

import pytest
from soak import counts
from viewer import make_offer

from streamsr.serve.webrtc.sdp import BadOfferError, Fragment, Offer, UnacceptableOfferError

HOST = "a=candidate:1 1 udp 2130706431 192.0.2.7 40000 typ host"


@pytest.fixture
async def sdp() -> str:
    return await make_offer("video", "video", "audio")


def add(sdp: str, *lines: str) -> str:
    return sdp + "".join(f"{line}\r\n" for line in lines)


def test_an_offer_tells_what_it_wants_in_order(sdp: str) -> None:
    offer = Offer.parse(sdp)
    assert offer.media == (("video", True), ("video", True), ("audio", True))
    assert f"a=ice-ufrag:{offer.ufrag}" in sdp


def test_lines_that_want_nothing_are_told_apart(sdp: str) -> None:
    offer = Offer.parse(sdp.replace("a=recvonly", "a=sendonly", 1))
    assert offer.media == (("video", False), ("video", True), ("audio", True))


def test_a_missing_direction_means_both(sdp: str) -> None:
    offer = Offer.parse(sdp.replace("a=recvonly\r\n", ""))
    assert offer.media[0] == ("video", True)
    assert offer.sdp.count("a=sendrecv") == 3


@pytest.mark.parametrize(
    "line",
    [
        "a=candidate:1 1 udp 1 0b5d5c4e-1c4b-4d8e-9d55-8b3f5f5f5f5f.local 40000 typ host",
        "a=candidate:1 1 udp 1 224.0.0.1 40000 typ host",
        "a=candidate:1 1 udp 1 0.0.0.0 40000 typ host",
        "a=candidate:1 1 udp 1 192.0.2.7 0 typ host",
        "a=candidate:1 1 udp 1 192.0.2.7 70000 typ host",
        "a=candidate:1 1 tcp 1 192.0.2.7 9 typ host tcptype active",
        "a=candidate:1 1 udp 1 192.0.2.7 40000 typ prflx",
        "a=candidate:nonsense",
        "a=end-of-candidates",
    ],
)
def test_candidates_of_no_use_are_left_out(sdp: str, line: str) -> None:
    assert line not in Offer.parse(add(sdp, line, HOST)).sdp.splitlines()
    assert HOST in Offer.parse(add(sdp, line, HOST)).sdp
    assert len(Fragment.parse(add("", line, HOST)).candidates) == 1


def test_candidates_are_bounded(sdp: str) -> None:
    many = [HOST.replace("40000", str(40000 + n)) for n in range(1000)]
    assert Offer.parse(add(sdp, *many)).sdp.count("a=candidate") <= 20
    assert len(Fragment.parse(add("", *many)).candidates) == 20


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("a=rtcp-mux\r\n", "", UnacceptableOfferError),
        ("a=recvonly", "a=inactive", UnacceptableOfferError),
        ("m=audio", "m=text", UnacceptableOfferError),
        ("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0 1", UnacceptableOfferError),
        ("a=group:BUNDLE 0 1 2\r\n", "", UnacceptableOfferError),
        ("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 9 1 2", BadOfferError),
        ("a=mid:1", "a=mid:0", BadOfferError),
        ("a=fingerprint:", "a=footprint:", BadOfferError),
        ("a=setup:actpass", "a=setup:whatever", BadOfferError),
        ("a=ice-pwd:", "a=ice-pwd:short\r\na=x:", BadOfferError),
        ("a=ice-ufrag:", "a=ice-ufrag:\N{SNOWMAN}", BadOfferError),
        ("v=0", "v=1", BadOfferError),
        ("m=video", "m=video 9 9 9", BadOfferError),
    ],
)
def test_offers_that_cannot_work_are_refused(
    sdp: str, old: str, new: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Offer.parse(sdp.replace(old, new))


@counts(300, 10_000)
def test_garbage_is_refused_with_one_of_two_errors(sdp: str, count: int) -> None:
    choose = random.Random(1)
    lines = sdp.splitlines()
    refused = 0
    for _ in range(count):
        mutated = [line for line in lines if choose.random() > 0.02]
        for _ in range(choose.randrange(1, 6)):
            at = choose.randrange(len(mutated))
            cut = choose.randrange(len(mutated[at]) + 1)
            junk = "".join(chr(choose.choice([32, 45, 48, 58, 61, 120, 233])) for _ in range(4))
            mutated[at] = mutated[at][:cut] + junk + mutated[at][cut:]
        try:
            Offer.parse("\r\n".join(mutated) + "\r\n")
        except (BadOfferError, UnacceptableOfferError):
            refused += 1
    assert count / 6 < refused < count


@pytest.mark.parametrize("text", ["", "hello", "v=0", "\r\n" * 5000, "m=video 9 x 1\r\n" * 500])
def test_what_is_no_offer_is_refused(text: str) -> None:
    with pytest.raises(BadOfferError):
        Offer.parse(text)


def test_a_fragment_names_its_ice_session() -> None:
    fragment = Fragment.parse(add("", "a=ice-ufrag:abcd", "a=ice-pwd:x", "a=mid:0", HOST))
    assert fragment.ufrag == "abcd"
    assert (fragment.candidates[0].ip, fragment.candidates[0].port) == ("192.0.2.7", 40000)
    with pytest.raises(BadOfferError):
        Fragment.parse("hello")
