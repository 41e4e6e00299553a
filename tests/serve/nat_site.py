"""A server, or a client of it, for a namespace: ``python nat_site.py serve ADDRESS``, or
``watch``, which says "WIDTH KIND HOST" of the frame it got and of the candidates it was told."""

import asyncio
import sys
from dataclasses import replace

import aiohttp
from broadcast import Broadcast
from letting_in import letting_in
from peers.nat import OUTSIDE
from viewer import Viewer, candidates

from streamsr.core.settings import WebRtcSettings
from streamsr.serve.access.forwarded import TrustedProxies
from streamsr.serve.app import Server

PORT = 8080
TOKEN = "a-token-of-a-viewer"


async def serve(*announce: str) -> None:
    access = replace(letting_in(TOKEN), proxies=TrustedProxies(["10.9.0.2"]))  # it has no TLS
    webrtc = WebRtcSettings(udp_ports="50000-50019", announce=announce)
    async with (
        Broadcast() as broadcast,
        Server(
            {"camera": broadcast.served}, host="0.0.0.0", port=PORT, access=access, webrtc=webrtc
        ),
    ):
        sys.stdout.write("serving\n")
        sys.stdout.flush()
        await asyncio.sleep(60)


async def watch() -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        Viewer(http, f"http://{OUTSIDE}:{PORT}/") as viewer,
    ):
        told = {host for host, _, _ in candidates(viewer.answer)}
        sys.stdout.write(f"told {sorted(told)}\n")
        sys.stdout.flush()
        frame = await viewer.frame()
        sys.stdout.write(f"frame {frame.width}\n")


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[2:]) if sys.argv[1] == "serve" else watch())
