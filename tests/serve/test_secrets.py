"""Tokens and certificates that change while the server runs."""

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from peers.certificates import make_certificate
from peers.waiting import until

from streamsr.core.errors import ConfigError
from streamsr.core.events import Code, Event
from streamsr.core.settings import ServeSettings
from streamsr.core.settings.serve import TokenSettings
from streamsr.serve.access.access import Access
from streamsr.serve.access.certificates import Certificate
from streamsr.serve.access.secrets import Secrets
from streamsr.serve.app import Server

OLD, NEW = "the-token-that-was", "the-token-that-is-new"
WALL = "the-token-of-the-wall"


def settings_in(folder: Path) -> ServeSettings:
    """With a token, another of the role view, and a certificate, each in its file."""
    (folder / "token").write_text(f"{OLD}\n")
    (folder / "wall").write_text(f"{WALL}\n")
    tls = make_certificate(folder)
    wall = TokenSettings(name="wall", role="view", file=folder / "wall")
    return tls.model_copy(update={"token_file": folder / "token", "tokens": (wall,)})


@asynccontextmanager
async def following(secrets: Secrets) -> AsyncIterator[list[Event]]:
    events: list[Event] = []
    task = asyncio.create_task(secrets.follow(events.append, look_s=0.02))
    await until(lambda: secrets.stamp is not None)
    yield events
    task.cancel()


def common_name(pem: bytes) -> str:
    (name,) = x509.load_pem_x509_certificate(pem).subject
    return str(name.value)


async def shown(server: Server) -> str:
    """The name in the certificate that a new connection is shown; no name is asked for."""
    pem = await asyncio.to_thread(ssl.get_server_certificate, (server.host, server.port))
    return common_name(pem.encode())


async def status(http: aiohttp.ClientSession, server: Server, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with http.get(f"{server.url}api/streams", headers=headers, ssl=False) as response:
        return response.status


async def test_new_files_count_from_when_they_are_read(
    http: aiohttp.ClientSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    settings = settings_in(tmp_path)
    events: list[Event] = []
    async with Server({}, access=Access.of(settings), emit=events.append) as server:
        assert (await status(http, server, OLD), await status(http, server, NEW)) == (200, 401)
        assert await shown(server) == "server"
        await until(lambda: "certificate" in caplog.text)
        (tmp_path / "token").write_text(NEW)
        renewed = make_certificate(tmp_path, "renewed")
        os.replace(renewed.tls_certificate, settings.tls_certificate)
        os.replace(renewed.tls_key, settings.tls_key)
        await server.read_again()
        assert (await status(http, server, OLD), await status(http, server, NEW)) == (401, 200)
        assert await status(http, server, WALL) == 200
        assert await shown(server) == "renewed"
    told = {event.part: event.message for event in events if event.code == Code.CONFIG_RELOADED}
    assert told.keys() == {"serve.token", "serve"}
    assert told["serve.token"] == "serve: the token token is another now"
    assert f"certificate {settings.tls_certificate} holds until 20" in told["serve"]
    assert not any(word in caplog.text + str(events) for word in (OLD, NEW, WALL))


async def test_changed_files_are_noticed(tmp_path: Path) -> None:
    secrets = Secrets.read(settings_in(tmp_path))
    async with following(secrets) as events:
        (tmp_path / "wall").write_text(NEW)
        await until(lambda: any(e.code == Code.CONFIG_RELOADED for e in events))
        assert [token.secret for token in secrets.tokens] == [OLD, NEW]
        assert [token.role for token in secrets.tokens] == ["control", "view"]
        other = tmp_path / "other"
        other.write_text("a-token-that-took-its-place")
        os.replace(other, tmp_path / "wall")  # as Kubernetes and editors do
        await until(lambda: secrets.tokens[1].secret == "a-token-that-took-its-place")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("wall", b"short", "5 characters"),
        ("wall", OLD.encode(), "got the token that token has"),
        ("server.pem", b"noise", "allowed are PEM files"),
        ("server.key", b"noise", "allowed are PEM files"),
        ("wall", b"", "0 bytes"),  # as while it is written
        ("server.pem", None, "cannot be read: No such file"),
    ],
)
async def test_a_wrong_file_leaves_all_as_it_was(
    tmp_path: Path, name: str, content: bytes | None, why: str
) -> None:
    secrets = Secrets.read(settings_in(tmp_path))
    before = secrets.tokens, secrets.certificate
    async with following(secrets) as events:
        whole = (tmp_path / name).read_bytes()
        if content is None:
            (tmp_path / name).unlink()
        else:
            (tmp_path / name).write_bytes(content)
        await until(lambda: events)
        assert (secrets.tokens, secrets.certificate) == before
        (tmp_path / name).write_bytes(whole)
        await until(lambda: len(events) > 1)
        assert [event.code for event in events] == [Code.CONFIG_REFUSED, Code.CONFIG_RELOADED]
        assert events[1].message == "serve: tokens and certificate can be read again"
        assert (secrets.tokens, secrets.certificate) == before
        assert why in events[0].message


async def test_the_token_of_a_file_that_is_gone_is_withdrawn(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    settings = settings_in(tmp_path)
    events: list[Event] = []
    async with Server({}, access=Access.of(settings), emit=events.append) as server:
        (tmp_path / "wall").unlink()
        (tmp_path / "server.pem").write_bytes(b"half of it")
        await server.read_again()
        assert (await status(http, server, WALL), await status(http, server, OLD)) == (401, 200)
        (tmp_path / "token").unlink()
        await server.read_again()
        assert [await status(http, server, word) for word in (WALL, OLD, "")] == [401] * 3
        withdrawn = [e for e in events if "counts no more" in e.message]
        assert [(e.code, e.part) for e in withdrawn] == [
            (Code.CONFIG_REFUSED, "serve.wall"),  # each is told at once, and stands
            (Code.CONFIG_REFUSED, "serve.token"),
        ]
        assert f"its file {tmp_path / 'wall'} is gone" in withdrawn[0].message
        assert any("PEM" in e.message for e in events if e.part == "serve")
        make_certificate(tmp_path)
        (tmp_path / "token").write_text(OLD)
        await server.use_tokens(settings.model_copy(update={"tokens": ()}))
        assert (await status(http, server, WALL), await status(http, server, OLD)) == (401, 200)
        said = {e.part: e.message for e in events if e.code == Code.CONFIG_RELOADED}
        assert said["serve.token"] == "serve: the token token counts"
        assert said["serve.wall"] == "serve: the token wall is no longer named"


async def test_other_tokens_are_taken_and_none_at_all_is_not(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    settings = settings_in(tmp_path)
    (tmp_path / "new").write_text(NEW)
    new = (TokenSettings(name="new", file=tmp_path / "new"),)
    events: list[Event] = []
    async with Server({}, access=Access.of(settings), emit=events.append) as server:
        await server.use_tokens(settings.model_copy(update={"tokens": new}))
        assert [event.message for event in events] == [
            "serve: the token new counts",
            "serve: the token wall counts no more",
        ]
        tokens = (OLD, WALL, NEW)
        assert [await status(http, server, token) for token in tokens] == [200, 401, 200]
        with pytest.raises(ConfigError, match="a new start"):
            await server.use_tokens(settings.lasting)
        assert [await status(http, server, token) for token in tokens] == [200, 401, 200]


async def test_a_certificate_without_its_key_is_read_once_that_is_there(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    secrets = Secrets.read(settings)
    renewed = make_certificate(tmp_path, "renewed")
    async with following(secrets) as events:
        os.replace(renewed.tls_certificate, settings.tls_certificate)
        await until(lambda: any("do not belong together" in event.message for event in events))
        assert secrets.certificate is not None
        assert common_name(secrets.certificate.pem) == "server"
        os.replace(renewed.tls_key, settings.tls_key)
        await until(lambda: any(event.code == Code.CONFIG_RELOADED for event in events))
        assert common_name(secrets.certificate.pem) == "renewed"


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (timedelta(days=15), None),
        (timedelta(days=13, hours=12), "UTC, 13 days more: renew it"),
        (timedelta(hours=12), "UTC, 0 days more: renew it"),
        (timedelta(0), "UTC, which is over: clients refuse it, renew it"),
        (-timedelta(days=3), "UTC, which is over"),
        (timedelta(days=91), "holds only from 20"),
    ],
)
def test_of_a_certificate_that_ends_one_is_warned_for_two_weeks(
    tmp_path: Path, before: timedelta, words: str | None
) -> None:
    certificate = Certificate.read(make_certificate(tmp_path, days=90))
    assert certificate is not None
    warning = certificate.warning(certificate.ends - before)
    assert warning is None if words is None else words in (warning or "")
    assert f"holds until {certificate.ends:%Y-%m-%d %H:%M} UTC" in certificate.lasts


async def test_that_it_ends_is_an_event_once_a_day_until_it_is_renewed(tmp_path: Path) -> None:
    settings = make_certificate(tmp_path, days=3)
    secrets = Secrets.read(settings)
    async with following(secrets) as events:
        await until(lambda: events)
        await asyncio.sleep(0.2)
        assert [event.code for event in events] == [Code.TLS_EXPIRES]
        assert secrets.certificate is not None
        assert secrets.certificate.warning(datetime.now(UTC)) == events[0].message
        renewed = make_certificate(tmp_path, "renewed")
        os.replace(renewed.tls_key, settings.tls_key)
        os.replace(renewed.tls_certificate, settings.tls_certificate)
        await until(lambda: any(event.code == Code.TLS_RENEWED for event in events))
        assert events[-1].message == secrets.certificate.lasts


def test_one_token_of_two_names_is_refused(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    (tmp_path / "wall").write_text(OLD)
    with pytest.raises(ConfigError, match=r"serve\.tokens\.0\.file .*got the token that token has"):
        Secrets.read(settings)
