"""Passwords and authorities: found, or refused with what is wrong."""

from pathlib import Path
from typing import Any

import pytest
from peers.certificates import Authority

from streamsr.core.errors import ConfigError
from streamsr.core.redact import redact
from streamsr.core.settings import MqttSettings
from streamsr.mqtt.credentials import read_credentials

CANARY = "p@ss/w%rd:#1"


def settings(**changes: Any) -> MqttSettings:
    return MqttSettings(**{"host": "broker.lan", **changes})


def test_without_anything() -> None:
    credentials = read_credentials(settings())
    assert credentials.password is None
    assert credentials.tls is None


@pytest.mark.parametrize("text", [CANARY, f"{CANARY}\n", f"{CANARY}\r\nsecond line\n"])
def test_the_first_line_of_a_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "password"
    path.write_text(text, newline="")
    credentials = read_credentials(settings(username="me", password_file=path))
    assert credentials.password == CANARY
    assert redact(f"no to {CANARY}") == "no to ***"
    assert CANARY not in repr(credentials)


def test_the_environment_where_there_is_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMSR_MQTT_PASSWORD", CANARY)
    assert read_credentials(settings(username="me")).password == CANARY
    assert read_credentials(settings()).password is None
    (tmp_path / "password").write_text("other")
    chosen = settings(username="me", password_file=tmp_path / "password")
    assert read_credentials(chosen).password == "other"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file"),
        (b"", "got 0 bytes in its first line, allowed are 1 to 2048"),
        (b"\nsecret", "got 0 bytes"),
        (b"\xff\xfe\x00", "its first line is not UTF-8"),
        (b"x" * 3_000_000, "allowed are 1 to 2048"),
    ],
)
def test_a_file_that_holds_no_password(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as wrong:
        read_credentials(settings(username="me", password_file=path))
    assert str(wrong.value).startswith(f"mqtt.password_file {path}")


def test_settings_in_contradiction(tmp_path: Path, authority: Authority) -> None:
    with pytest.raises(ConfigError, match=r"without mqtt\.username"):
        read_credentials(settings(password_file=tmp_path / "x"))
    with pytest.raises(ConfigError, match=r"unless mqtt\.tls is true"):
        read_credentials(settings(ca_file=authority.certificate))


@pytest.mark.parametrize("host", [f"mqtt://me:{CANARY}@broker", "broker/x", "a b", "a\u2028b"])
def test_a_host_is_a_name_alone(host: str) -> None:
    with pytest.raises(ConfigError, match=r"mqtt\.host: got") as wrong:
        read_credentials(settings(host=host))
    assert "w%rd" not in str(wrong.value)


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN nothing", b"\xff" * 99])
def test_authorities_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as wrong:
        read_credentials(settings(tls=True, ca_file=path))
    assert str(wrong.value).startswith(f"mqtt.ca_file {path}")


def test_tls_checks_the_broker_s_name(authority: Authority) -> None:
    for chosen in (settings(tls=True), settings(tls=True, ca_file=authority.certificate)):
        context = read_credentials(chosen).tls
        assert context is not None
        assert context.check_hostname
        assert context.verify_mode.name == "CERT_REQUIRED"
