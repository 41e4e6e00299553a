"""What WHEP and WHIP answer alike: where the servers are, and that a session is there."""

from collections.abc import Sequence
from urllib.parse import quote

from aiohttp import web

__all__ = ["FRAGMENT", "SDP", "created", "options"]

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
ICE_TAG = '"1"'  # of a session's only ICE session: no restart makes another


def options(links: Sequence[str]) -> web.Response:
    """Answers OPTIONS, by which a client asks for ICE servers first (RFC 9725, 4.2 and 4.6)."""
    return _with_links(web.Response(status=204, headers={"Accept-Post": SDP}), links)


def created(name: str, secret: str, answer: str, links: Sequence[str]) -> web.Response:
    """Answers an offer of the stream ``name`` (RFC 9725, 4.2): MediaMTX wants the ETag."""
    headers = {
        "Location": f"{quote(name, safe='')}/{secret}",
        "Accept-Patch": FRAGMENT,
        "ETag": ICE_TAG,
    }
    # As bytes: aiohttp adds a charset to text, and some clients compare the whole header.
    body = answer.encode()
    return _with_links(
        web.Response(status=201, body=body, content_type=SDP, headers=headers), links
    )


def _with_links(response: web.Response, links: Sequence[str]) -> web.Response:
    for link in links:
        response.headers.add("Link", link)
    return response
