"""Certificates: the TLS they make, and servers off loopback."""

import asyncio
import re
import shutil
import ssl
import subprocess
from pathlib import Path

import aiohttp
import pytest
from letting_in import letting_in
from peers.certificates import make_certificate

from streamsr.core.errors import ConfigError
from streamsr.core.settings import ServeSettings
from streamsr.serve.access.certificates import Certificate
from streamsr.serve.access.rate_limit import ServerLimits
from streamsr.serve.app import Server

TOKEN = "a-token-of-a-viewer"


async def test_tls(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    settings = make_certificate(tmp_path)
    access = letting_in(certificate=settings)
    trust = ssl.create_default_context(cafile=settings.tls_certificate)
    async with Server({}, access=access) as server:
        assert server.url == f"https://127.0.0.1:{server.port}/"
        async with http.get(f"{server.url}livez", ssl=trust) as response:
            assert response.status == 200
        trust.maximum_version = ssl.TLSVersion.TLSv1_2
        async with http.get(f"{server.url}livez", ssl=trust) as response:
            assert response.status == 200
        with pytest.raises(aiohttp.ClientError):
            await http.get(f"http://127.0.0.1:{server.port}/livez")
    assert access.secrets.certificate is not None
    assert access.secrets.certificate.context.minimum_version == ssl.TLSVersion.TLSv1_2


async def test_a_handshake_that_does_not_come_is_not_waited_for(
    tmp_path: Path,
) -> None:
    access, limits = letting_in(certificate=make_certificate(tmp_path)), ServerLimits(idle_s=0.2)
    async with Server({}, access=access, limits=limits) as server, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        assert await reader.read() == b""
        writer.close()


def test_no_tls() -> None:
    assert Certificate.read(ServeSettings()) is None


def test_certificates_that_are_none(tmp_path: Path) -> None:
    good = make_certificate(tmp_path)
    other = make_certificate(tmp_path, "other")
    locked = make_certificate(tmp_path, "locked", password=b"secret")
    noise = tmp_path / "noise.pem"
    noise.write_text("noise")
    certificate, no = good.tls_certificate, tmp_path / "no.pem"
    for chosen, key, words in [
        (no, good.tls_key, "tls_certificate .*no.pem cannot be read: No such file"),
        (certificate, no, "tls_key .*no.pem cannot be read: No such file"),
        (certificate, tmp_path, "cannot be read: Is a directory"),
        (noise, good.tls_key, "allowed are PEM files"),
        (certificate, noise, "allowed are PEM files"),
        (certificate, other.tls_key, "do not belong together"),
        (locked.tls_certificate, locked.tls_key, "needs a password"),
    ]:
        with pytest.raises(ConfigError, match=words):
            Certificate.read(ServeSettings(tls_certificate=chosen, tls_key=key))


def test_off_loopback_it_does_not_start_without_token_and_tls(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    both = r"loopback .*STREAMSR_TOKEN.* and TLS \(serve.tls_certificate and serve.tls_key"
    with pytest.raises(ConfigError, match=both):
        Server({}, host="0.0.0.0")
    with pytest.raises(ConfigError, match=r"missing is TLS"):
        Server({}, host="0.0.0.0", access=letting_in(TOKEN))
    with pytest.raises(ConfigError, match=r"missing is a token .*environment\)$"):
        Server({}, host="0.0.0.0", access=letting_in(certificate=certificate))
    Server({}, host="0.0.0.0", access=letting_in(TOKEN, certificate))


async def test_off_loopback_it_serves_with_both(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    certificate = make_certificate(tmp_path)
    async with Server({}, host="0.0.0.0", access=letting_in(TOKEN, certificate)) as server:
        assert server.url.startswith("https://0.0.0.0:")
        headers = {"Authorization": f"Bearer {TOKEN}", "Host": "camera.example"}
        async with http.get(f"{server.url}api/streams", headers=headers, ssl=False) as response:
            assert (response.status, await response.json()) == (200, [])


def test_the_advice_on_certificates_works(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    with pytest.raises(ConfigError) as caught:
        Server({}, host="0.0.0.0")
    command = re.search(r"openssl [^)]*", str(caught.value))
    assert command is not None
    subprocess.run(command.group(0).split(), cwd=tmp_path, check=True, capture_output=True)
    names = {"tls_certificate": tmp_path / "certificate.pem", "tls_key": tmp_path / "key.pem"}
    assert Certificate.read(ServeSettings(**names)) is not None
