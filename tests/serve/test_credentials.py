"""The token and the certificate: what is taken, and what is refused and how."""

import asyncio
import re
import shutil
import ssl
import subprocess
from base64 import b64encode
from pathlib import Path

import aiohttp
import pytest
from peers.certificates import make_certificate

from streamsr.core.errors import ConfigError
from streamsr.core.redact import redact
from streamsr.core.settings import ServeSettings
from streamsr.serve import Server, app, make_tls, read_token
from streamsr.serve.credentials import presented_token

TOKEN = "p@ss/w%rd:#1-of-a-viewer"


@pytest.fixture(autouse=True)
def no_token_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMSR_TOKEN", raising=False)


def test_no_token() -> None:
    assert read_token(ServeSettings()) is None


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\nand a remark\n"])
def test_a_token_is_the_first_line_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setenv("STREAMSR_TOKEN", "another-token-of-the-environment")
    path = tmp_path / "token"
    path.write_bytes((TOKEN + ending).encode())
    assert read_token(ServeSettings(token_file=path)) == TOKEN
    assert redact(f"got {TOKEN}") == "got ***"


def test_a_token_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMSR_TOKEN", TOKEN)
    assert read_token(ServeSettings()) == TOKEN


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("", "0 characters"),
        ("fifteen-letters", "15 characters, allowed are 16 and more"),
        ("a token with spaces", "ASCII"),
        ("ein-schlüssel-mit-umlaut", "ASCII"),
        ("a-token-with-a-\x07-bell", "ASCII"),
    ],
)
def test_a_token_that_is_none(monkeypatch: pytest.MonkeyPatch, token: str, words: str) -> None:
    monkeypatch.setenv("STREAMSR_TOKEN", token)
    with pytest.raises(ConfigError, match=f"STREAMSR_TOKEN.*{words}") as caught:
        read_token(ServeSettings())
    assert not token or token not in str(caught.value)
    with pytest.raises(ConfigError, match=words):
        Server({}, token=token)


def test_a_token_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"serve\.token_file .*/no cannot be read: No such file"):
        read_token(ServeSettings(token_file=tmp_path / "no"))


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (f"Bearer {TOKEN}", TOKEN),
        (f"bearer  {TOKEN} ", TOKEN),
        ("Basic " + b64encode(f"anyone:{TOKEN}".encode()).decode(), TOKEN),
        ("BASIC " + b64encode(f":{TOKEN}".encode()).decode(), TOKEN),
        ("Basic " + b64encode(TOKEN.encode()).decode(), TOKEN.partition(":")[2]),
        ("Basic \xff", None),
        ("Basic not-base-64", None),
        ("Basic " + b64encode(b"\xff\xfe").decode(), None),
        ("Digest x", None),
        (TOKEN, None),
        ("", None),
    ],
)
def test_what_is_in_the_header(header: str, token: str | None) -> None:
    assert presented_token(header) == token


async def test_tls(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    settings = make_certificate(tmp_path)
    tls = make_tls(settings)
    trust = ssl.create_default_context(cafile=settings.tls_certificate)
    async with Server({}, tls=tls) as server:
        assert server.url == f"https://127.0.0.1:{server.port}/"
        async with http.get(f"{server.url}livez", ssl=trust) as response:
            assert response.status == 200
        trust.maximum_version = ssl.TLSVersion.TLSv1_2
        async with http.get(f"{server.url}livez", ssl=trust) as response:
            assert response.status == 200
        with pytest.raises(aiohttp.ClientError):
            await http.get(f"http://127.0.0.1:{server.port}/livez")
    assert tls is not None
    assert tls.minimum_version == ssl.TLSVersion.TLSv1_2


async def test_a_handshake_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "IDLE_S", 0.2)
    tls = make_tls(make_certificate(tmp_path))
    async with Server({}, tls=tls) as server, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        assert await reader.read() == b""
        writer.close()


def test_no_tls() -> None:
    assert make_tls(ServeSettings()) is None


def test_certificates_that_are_none(tmp_path: Path) -> None:
    audio = make_certificate(tmp_path)
    other = make_certificate(tmp_path, "other")
    locked = make_certificate(tmp_path, "locked", password=b"secret")
    noise = tmp_path / "noise.pem"
    noise.write_text("noise")
    certificate, no = audio.tls_certificate, tmp_path / "no.pem"
    for chosen, key, words in [
        (no, audio.tls_key, "tls_certificate .*no.pem cannot be read: No such file"),
        (certificate, no, "tls_key .*no.pem cannot be read: No such file"),
        (certificate, tmp_path, "cannot be read: Is a directory"),
        (noise, audio.tls_key, "allowed are PEM files"),
        (certificate, noise, "allowed are PEM files"),
        (certificate, other.tls_key, "do not belong together"),
        (locked.tls_certificate, locked.tls_key, "needs a password"),
    ]:
        with pytest.raises(ConfigError, match=words):
            make_tls(ServeSettings(tls_certificate=chosen, tls_key=key))


def test_off_loopback_it_does_not_start_without_token_and_tls(tmp_path: Path) -> None:
    tls = make_tls(make_certificate(tmp_path))
    both = r"loopback .*STREAMSR_TOKEN.* and TLS \(serve.tls_certificate and serve.tls_key"
    with pytest.raises(ConfigError, match=both):
        Server({}, host="0.0.0.0")
    with pytest.raises(ConfigError, match=r"missing is TLS"):
        Server({}, host="0.0.0.0", token=TOKEN)
    with pytest.raises(ConfigError, match=r"missing is a token .*environment\)$"):
        Server({}, host="0.0.0.0", tls=tls)
    Server({}, host="0.0.0.0", token=TOKEN, tls=tls)


async def test_off_loopback_it_serves_with_both(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    tls = make_tls(make_certificate(tmp_path))
    async with Server({}, host="0.0.0.0", token=TOKEN, tls=tls) as server:
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
    assert make_tls(ServeSettings(**names)) is not None
