"""What a viewer may send us: SDP offers and trickled candidates, checked and cleaned. Pure.

All of it comes from strangers. aiortc's parser trusts what it reads, so it is given only what is
needed.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aiortc import RTCIceCandidate
from aiortc.sdp import MediaDescription, SessionDescription, candidate_from_sdp

__all__ = [
    "PUBLISHING",
    "WATCHING",
    "BadOfferError",
    "Fragment",
    "Offer",
    "UnacceptableOfferError",
]

MAX_LINES = 2000  # browsers send about 130 for each track
MAX_MEDIA = 8
MAX_CANDIDATES = 20  # each makes us send connectivity checks to where it points

CANDIDATE = re.compile(
    r"(?:a=)?candidate:\S{1,32} 1 udp \d{1,10} (?P<host>\S{1,64}) (?P<port>\d{1,5})"
    r" typ (?:host|srflx|relay)\b.*",
    re.IGNORECASE,
)
UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")  # RFC 8839, 5.4
PASSWORD = re.compile(r"[A-Za-z0-9+/]{22,256}")
WATCHING = "recvonly", "sendrecv"  # the directions of who wants to receive
PUBLISHING = "sendonly", "sendrecv"  # of who wants to send
DIRECTIONS = {"a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"}


class BadOfferError(ValueError):
    """It is no SDP, or no SDP of a WebRTC peer."""


class UnacceptableOfferError(ValueError):
    """It is valid, but asks for what is not offered here."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An SDP offer that aiortc can be trusted with."""

    sdp: str
    media: tuple[tuple[str, bool], ...]  # (kind, is in a direction asked for) of each m-line
    ufrag: str  # of the ICE session (RFC 8839)

    @classmethod
    def parse(cls, text: str, directions: Sequence[str] = WATCHING) -> "Offer":
        """Checks and cleans an offer (RFC 8866, RFC 8829) with video in one of ``directions``.

        Raises BadOfferError or UnacceptableOfferError with a reason for people.
        """
        sdp = _clean(text)
        try:
            description = SessionDescription.parse(sdp)
        except Exception:
            # aiortc's parser has no error of its own: what it raises depends on the line at fault.
            raise BadOfferError("not a session description") from None
        _check_media(description.media)
        _check_bundle(description)
        kinds = tuple((m.kind, m.direction in directions) for m in description.media)
        if ("video", True) not in kinds:
            raise UnacceptableOfferError(f"the offer has no video that is {directions[0]}")
        ice = description.media[0].ice
        assert ice is not None
        return cls(sdp, kinds, ice.usernameFragment or "")


@dataclass(frozen=True, slots=True)
class Fragment:
    """A trickled part of a session description (RFC 8840, RFC 9725 section 4.3.2)."""

    ufrag: str | None
    candidates: tuple[RTCIceCandidate, ...]

    @classmethod
    def parse(cls, text: str) -> "Fragment":
        """Reads ICE credentials and the candidates that are of use. Raises BadOfferError."""
        lines = _lines(text)
        if not any(line.startswith("a=") for line in lines):
            raise BadOfferError("not an SDP fragment")
        ufrag = next((x[12:] for x in lines if x.startswith("a=ice-ufrag:")), None)
        found = [line for line in lines if _usable(line)][:MAX_CANDIDATES]
        values = (line.removeprefix("a=").removeprefix("candidate:") for line in found)
        return cls(ufrag, tuple(candidate_from_sdp(value) for value in values))


def _lines(text: str) -> list[str]:
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        raise BadOfferError(f"{len(lines)} lines, allowed are {MAX_LINES}")
    return lines


def _clean(text: str) -> str:
    """Keeps the candidates that can be reached, and gives every m-line a direction."""
    session, *media = _sections(_lines(text))
    if not session or not session[0].startswith("v=0"):
        raise BadOfferError("not a session description: it does not begin with v=0")
    if not 1 <= len(media) <= MAX_MEDIA:
        raise BadOfferError(f"{len(media)} media lines, allowed are 1 to {MAX_MEDIA}")
    default = next((line for line in session if line in DIRECTIONS), "a=sendrecv")
    kept = list(session)
    left = MAX_CANDIDATES
    for section in media:
        for line in section:
            is_candidate = line.startswith(("a=candidate:", "a=end-of-candidates"))
            if is_candidate and not (left and _usable(line)):
                continue
            left -= is_candidate
            kept.append(line)
        if DIRECTIONS.isdisjoint(section):
            kept.append(default)
    return "\r\n".join(kept) + "\r\n"


def _sections(lines: list[str]) -> Iterator[list[str]]:
    """Splits into the session's part and one part for each m-line."""
    section: list[str] = []
    for line in lines:
        if line.startswith("m="):
            yield section
            section = []
        section.append(line)
    yield section


def _usable(line: str) -> bool:
    """Whether a candidate is a plain UDP address.

    Names are left out: ``.local`` ones (mDNS) cost 1 to 2 s to look up, and are not needed, as the
    viewer's own checks show where it is. Its "no more candidates" is left out with them, or ICE
    would give up on a viewer that has named none but those.
    """
    match = CANDIDATE.fullmatch(line)
    if match is None:
        return False
    try:
        host = ipaddress.ip_address(match["host"])
    except ValueError:
        return False
    return 0 < int(match["port"]) < 65536 and not (host.is_multicast or host.is_unspecified)


def _check_media(media: list[MediaDescription]) -> None:
    for m in media:
        if m.kind not in ("audio", "video"):
            raise UnacceptableOfferError("only audio and video can be had here")
        if m.dtls is None or not m.dtls.fingerprints:
            raise BadOfferError("a media line without a DTLS fingerprint or setup")
        if not m.rtcp_mux:
            raise UnacceptableOfferError("RTP and RTCP must share a port (rtcp-mux)")
        if m.ice is None or not UFRAG.fullmatch(m.ice.usernameFragment or ""):
            raise BadOfferError("a media line without a valid ice-ufrag")
        if not PASSWORD.fullmatch(m.ice.password or ""):
            raise BadOfferError("a media line without a valid ice-pwd")


def _check_bundle(description: SessionDescription) -> None:
    """All of one session goes over one transport (RFC 9725, section 4.4.1)."""
    mids = [m.rtp.muxId for m in description.media]
    if len(set(mids)) != len(mids) or (len(mids) > 1 and "" in mids):
        raise BadOfferError("media lines without a mid of their own")
    bundles = [group.items for group in description.group if group.semantic == "BUNDLE"]
    if bundles and not set(bundles[0]) <= set(mids):
        raise BadOfferError("a bundle of unknown media")
    if len(mids) > 1 and (not bundles or set(bundles[0]) != set(mids)):
        raise UnacceptableOfferError("all media must be in one bundle")
