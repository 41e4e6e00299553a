"""Addresses out of the environment and of files; children are not told of them."""

import os
import sys
from pathlib import Path

import pytest

from streamsr.core.config import FILLED_IN, parse
from streamsr.core.errors import ConfigError
from streamsr.core.redact import childrens_environment, redact, redact_stderr, secret_variable
from streamsr.core.settings import StreamSettings

ADDRESS = "rtsp://me:Canary71-a@cam.lan/live?x=Canary72"


def url_of(said: str) -> str:
    return parse({"input": {"url": said}}, StreamSettings, "here").input.url


def test_a_variable_alone_is_the_whole_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMERA_URL", ADDRESS)
    assert url_of("${CAMERA_URL}") == ADDRESS
    assert redact("no to Canary71-a and Canary72") == "no to *** and ***"


def test_a_variable_within_an_address_is_percent_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "p@ss/word")
    assert url_of("rtsp://me:${PASSWORD}@cam/x") == "rtsp://me:p%40ss%2Fword@cam/x"


def test_a_file_holds_an_address_in_its_first_line(tmp_path: Path) -> None:
    file = tmp_path / "gate.url"
    file.write_text(f"{ADDRESS}\r\nnotes\n")
    assert url_of(f"@{file}") == ADDRESS


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("${NOT_SET}", "the environment variable NOT_SET is not set"),
        ("rtsp://me:${EMPTY}@cam/x", "the environment variable EMPTY is empty"),
        ("@/nowhere/gate.url", "the file /nowhere/gate.url cannot be read: No such file"),
        ("@/dev/null", "the file /dev/null: it is no file, but a pipe or a device"),
        ("@/dev/ptmx", "the file /dev/ptmx: it is no file, but a pipe or a device"),
    ],
)
def test_what_is_missing_is_said(said: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPTY", "")
    with pytest.raises(ConfigError) as caught:
        url_of(said)
    assert str(caught.value).startswith("here: input.url: got '")
    assert why in str(caught.value)


def test_what_is_filled_in_is_not_filled_in_again() -> None:
    settings = StreamSettings.model_construct(input={"url": "rtsp://me:a${b}@cam/x"})
    text = settings.model_dump_json(warnings=False)
    read = StreamSettings.model_validate_json(text, context=FILLED_IN)
    assert read.input.url == "rtsp://me:a${b}@cam/x"


def test_children_inherit_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMERA_URL", ADDRESS)
    monkeypatch.setenv("TOKEN_71", "a-token-of-mine")
    url_of("${CAMERA_URL}")
    assert secret_variable("TOKEN_71") == "a-token-of-mine"
    inherited = childrens_environment()
    assert not {"CAMERA_URL", "TOKEN_71"} & inherited.keys()
    assert inherited["PATH"] == os.environ["PATH"]


def test_tracebacks_on_stderr_are_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", sys.stderr)
        redact_stderr()
        try:
            raise OSError(f"cannot open {ADDRESS}")
        except OSError:
            sys.excepthook(*sys.exc_info())
        sys.stderr.write("plain\n")
        assert not sys.stderr.isatty()
    said = capsys.readouterr().err
    assert "cannot open rtsp://***@cam.lan/live?***" in said
    assert "Canary" not in said
    assert said.endswith("plain\n")
