"""What payloads say: strict about theirs, and ours JSON without secrets."""

import json
import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from village import a_camera, a_status

from streamsr.core.events import Code, Event
from streamsr.core.redact import protect, protect_word
from streamsr.mqtt.commands import Command, Verb
from streamsr.mqtt.messages import (
    RefusedError,
    command_of,
    event_json,
    metrics_json,
    state_json,
)
from streamsr.mqtt.topics import About, Heard

CAMERAS, MODELS = ["yard", "door"], ["edvr-m", "fast"]
CANARY = "p@ss/w%rd:#1"


def asked(word: str, payload: bytes, camera: str = "yard") -> Command:
    return command_of(Heard(About.COMMAND, camera, word), payload, CAMERAS, MODELS)


@pytest.mark.parametrize("verb", [Verb.ENABLE, Verb.RECORD])
@pytest.mark.parametrize("value", ["ON", "OFF"])
def test_switches(verb: Verb, value: str) -> None:
    spellings = {"ON": ["ON", "on", "true", "True", "1", " ON\n"], "OFF": ["OFF", "false", "0"]}
    for spelling in spellings[value]:
        assert asked(verb, spelling.encode()) == Command("yard", verb, value)


def test_models_and_snapshots() -> None:
    assert asked("model", b"edvr-m", "door") == Command("door", Verb.MODEL, "edvr-m")
    for payload in (b"PRESS", b"", b"whatever"):
        assert asked("snapshot", payload) == Command("yard", Verb.SNAPSHOT)


@pytest.mark.parametrize(
    ("camera", "word", "payload", "message"),
    [
        ("attic", "enable", b"ON", "camera: got 'attic', allowed door, yard"),
        ("yard", "enabel", b"ON", "command: got 'enabel', allowed enable, model, record, snapshot"),
        ("yard", "enable", b"2", "enable: got '2', allowed ON, OFF"),
        ("yard", "enable", b"", "enable: got '', allowed ON, OFF"),
        ("yard", "record", b"\xff", "record: got 1 bytes, allowed UTF-8"),
        ("yard", "snapshot", b"x" * 257, "snapshot: got 257 bytes, allowed 256"),
        ("yard", "model", b"Fast", "model: got 'Fast', allowed edvr-m, fast"),
        ("yard", "model", "ü\n\x1b[31m".encode(), r"model: got '\xfc\n\x1b[31m', allowed edvr-m"),
        ("yard", "model", b"y" * 99, f"model: got '{'y' * 40}...', allowed edvr-m, fast"),
    ],
)
def test_refusals_say_what_they_got_and_what_is_allowed(
    camera: str, word: str, payload: bytes, message: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        asked(word, payload, camera)
    assert str(refused.value).startswith(message)


def test_a_refusal_is_short_however_many_names_there_are() -> None:
    many = [f"camera{number}" for number in range(1000)]
    with pytest.raises(RefusedError) as refused:
        command_of(Heard(About.COMMAND, "x" * 60_000, "enable"), b"ON", many, MODELS)
    assert len(str(refused.value)) < 400
    with pytest.raises(RefusedError, match="allowed none"):
        command_of(Heard(About.COMMAND, "x", "enable"), b"ON", [], [])


def test_garbage_is_refused_and_nothing_else_happens() -> None:
    chance = random.Random(5)
    for _ in range(10_000):
        word = chance.choice(["enable", "record", "model", "x", ""])
        payload = chance.randbytes(chance.choice([2, 3, 5, 20, 400]))
        with suppress(RefusedError):
            command = asked(word, payload, chance.choice(["yard", "Yard", ""]))
            assert command.value in ("ON", "OFF", *MODELS)


def test_a_state_before_the_first_frame() -> None:
    status = a_status(state="starting", model="", wanted="", input="", output="")
    camera = a_camera(recording=None)
    said = json.loads(state_json(type(camera)(status, False, None, {})))
    assert said == {
        "state": "starting",
        "enabled": False,
        "model": None,
        "wanted": None,
        "input": None,
        "output": None,
        "loses": False,
        "recording": None,
        "outputs": {},
    }


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf"), None])
def test_numbers_that_json_does_not_have_are_null(odd: float | None) -> None:
    status = a_status(fps=odd, latency_p50_ms=odd, latency_p99_ms=odd)
    said = json.loads(metrics_json(status), parse_constant=pytest.fail)
    assert said["fps"] is None
    assert said["latency_ms"] == {"p50": None, "p99": None}


def test_the_self_check_is_told() -> None:
    camera = a_camera(self_check_gain_db=-0.2501, self_check_loses=True)
    assert json.loads(state_json(camera))["loses"] is True
    assert json.loads(metrics_json(camera.status))["self_check_gain_db"] == -0.25
    assert json.loads(metrics_json(a_status()))["self_check_gain_db"] is None


def test_numbers_are_short() -> None:
    assert json.loads(metrics_json(a_status(fps=24.98765432)))["fps"] == 24.988


def test_an_event_s_time_is_utc() -> None:
    when = datetime(2026, 11, 24, 13, 5, 9, 120_000, timezone(timedelta(hours=1)))
    said = json.loads(event_json(Event(Code.MODEL_FALLBACK, "yard", "too slow: fast"), when))
    assert said == {
        "code": "MODEL_FALLBACK",
        "message": "too slow: fast",
        "time": "2026-11-24T12:05:09.120Z",
    }


def test_no_secret_is_said() -> None:
    url = f"rtsp://admin:{CANARY}@10.0.0.9/x?token=hunter22"
    protect(url)
    protect_word('quo"te\\d')
    camera = a_camera(model=f"/models/{url}", wanted='quo"te\\d')
    camera = type(camera)(camera.status, True, True, {url: "up", "x": f"down: {CANARY}"})
    event = Event(Code.SRC_AUTH, "yard", f"{url} refuses {CANARY}")
    status = a_status(dropped_by={url: 1})
    for said in (state_json(camera), event_json(event, datetime.now(UTC)), metrics_json(status)):
        text = json.dumps(json.loads(said), ensure_ascii=False)
        assert not any(word in text for word in ("w%rd", "hunter22", "admin", "te\\\\d"))
        assert "***" in text


@pytest.mark.parametrize("text", ["\udcff", "ü", "\x00", "😀", '"\\'])
def test_any_text_can_be_said(text: str) -> None:
    said: Any = json.loads(event_json(Event(Code.SRC_UP, "yard", text), datetime.now(UTC)))
    assert said["message"] in (text, "?")
