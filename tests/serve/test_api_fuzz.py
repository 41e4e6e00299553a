"""Whatever is sent to the API: no answer of 5xx, no traceback, and nothing that is kept of it."""

import asyncio
import json
import logging
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from peers.steered_node import SteeredNode
from soak import Usage, counts, figure, soak

from streamsr.core.settings import StreamSettings
from streamsr.serve.access.rate_limit import ServerLimits
from streamsr.serve.app import Server

UNLIMITED = ServerLimits(local_per_s=1e9, local_burst=10**9, body_s=0.5, idle_s=2.0)
ACCEPTED = ["2xx", "401", "403", "404", "409", "422"]  # 422: of a right form, and cannot be
AT_A_TIME = 20  # requests
ODD = ("", "0", "-1", "1e999", "null", "\\ud800", "\x00", "%00", "..", "../..", "é", "\U0001f600")
HEADERS = (
    b"Content-Type: application/json",
    b"Content-Type: \xff\xfe",
    b"Content-Type: application/json; charset=utf-9",
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 5\r\nContent-Length: 6",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Content-Encoding: gzip",
    b"Expect: 100-continue",
    b"Expect: 200-maybe",
    b"Range: bytes=9-1,,x",
    b'If-None-Match: W/"\xff',
    b"If-Modified-Since: never",
    b"Last-Event-ID: \xff-1",
    b"Authorization: Basic \xff",
    b"Authorization: Bearer",
    b"Origin: null",
    b"Cookie: " + b"a=b;" * 500,
    b"X: " + b"y" * 9000,
    b"Upgrade: websocket\r\nConnection: Upgrade",
    b": nameless",
    b"no colon",
)


def node() -> SteeredNode:
    streams = [{"name": name, "input": {"url": "demo"}} for name in ("gate", "yard")]
    return SteeredNode(*(StreamSettings.model_validate(stream) for stream in streams))


@pytest.mark.parametrize(
    "seconds", [5, pytest.param(60, marks=soak(0.1), id="soak-60")], ids=lambda s: f"{s}s"
)
async def test_schemathesis_finds_nothing(seconds: int, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(
        f"[checks]\npositive_data_acceptance.expected-statuses = {json.dumps(ACCEPTED)}\n"
    )
    steered = node()
    async with Server(steered.served, node=steered, limits=UNLIMITED) as server:
        api = f"{server.url}api/v1"
        command = [str(Path(sys.executable).with_name("st")), "run", f"{api}/openapi.json"]
        command += ["--url", api, "--exclude-path", "/events", "--checks", "all"]
        command += ["--max-examples", "2" if seconds < 60 else "100", "--seed", "1"]
        command += ["--max-time", str(seconds), "--request-timeout", "10", "--no-color"]
        testing = await asyncio.create_subprocess_exec(
            *command,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            told, _ = await testing.communicate()
        finally:
            if testing.returncode is None:
                testing.kill()
    assert testing.returncode == 0, told.decode()[-6000:]
    cases = next(line for line in told.decode().splitlines() if " generated, " in line)
    figure(f"schemathesis, {seconds} s", cases.strip())


@counts(300, 10_000, hours=0.5)
async def test_malformed_requests(count: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    steered, rng = node(), random.Random(11)
    async with Server(steered.served, node=steered, limits=UNLIMITED) as server:

        async def send(some: int) -> None:
            for request in requests(rng, some):
                status = await answered(server.port, request)
                assert not 500 <= status < 600, request[:2000]

        await send(100)
        before = Usage.of()
        await asyncio.gather(*(send(count // AT_A_TIME) for _ in range(AT_A_TIME)))
        await asyncio.sleep(UNLIMITED.idle_s)
        before.assert_flat(Usage.of())
        assert list(steered.streams)
    assert "Traceback" not in caplog.text
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def answered(port: int, request: bytes) -> int:
    """The status of the answer; 0 where the connection was closed without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            line = await reader.readline()
            return int(line.split()[1]) if line else 0
    except ConnectionError:
        return 0
    finally:
        writer.transport.abort()


def requests(rng: random.Random, count: int) -> Iterator[bytes]:
    for _ in range(count):
        method = rng.choice(
            ("GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS", "gEt", "X")
        )
        target = rng.choice((*paths(rng), "*", "/", "//", "http://x/", "/%", "/\xff"))
        head = f"{method} {target} {rng.choice(('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/9'))}"
        body = rng.choice((b"", *bodies(rng)))
        lines = [head.encode("latin-1", "replace"), b"Host: 127.0.0.1"]
        lines += rng.sample(HEADERS, rng.choice((0, 1, 1, 2, 3)))
        if rng.random() < 0.7:
            lines += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
        request = b"\r\n".join(lines) + b"\r\n\r\n" + body
        yield request if rng.random() < 0.8 else damaged(rng, request)


def paths(rng: random.Random) -> Iterator[str]:
    odd = rng.choice(ODD)
    yield from (
        f"/api/v1/{rng.choice(('cameras', 'node', 'models', 'docs', 'openapi.json', 'links'))}",
        f"/api/v1/cameras/{rng.choice(('gate', 'yard', odd))}",
        f"/api/v1/cameras/gate/{rng.choice(('snapshot', 'self-check', 'recordings', odd))}",
        f"/api/v1/cameras/gate/recordings/{odd}",
        f"/api/v1/cameras/gate/recordings?day={odd}",
        f"/api/v1/cameras/gate/snapshot?width={odd}&width",
        f"/api/v1/{odd}?{odd}={odd}",
    )


def bodies(rng: random.Random) -> Iterator[bytes]:
    odd: tuple[object, ...] = (None, -1, 1e308, True, [], {}, [[[]]], "x" * 3000, *ODD)
    keys = ("name", "url", "enabled", "model", "size", "recording", "settings", "path", "x")
    chosen = {rng.choice(keys): rng.choice(odd) for _ in range(4)}
    groups = ("input", "model", "encoder", "output", "publish", "hls", "record", "limits")
    inner = {rng.choice(("url", "folder", "crf", "name", "size", "x")): rng.choice(odd)}
    chosen["settings"] = rng.choice(({rng.choice(groups): rng.choice((inner, [inner]))}, odd[0]))
    yield json.dumps(chosen).encode()
    yield json.dumps({"name": rng.choice(("gate", "new")), "url": "demo"} | chosen).encode()
    yield damaged(rng, json.dumps(chosen).encode())
    yield rng.choice((b"[" * 50_000, b'{"a":' * 9000, b"\xff\xfe", b"NaN", b"1" * 10_000))


def damaged(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(changed))
        changed[place : place + rng.choice((0, 1))] = bytes([rng.randrange(256)])
    return bytes(changed)
