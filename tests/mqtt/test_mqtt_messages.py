"""The payloads are JSON without secrets."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from fake_node import camera_state, stream_status

from streamsr.control.node_api import CameraState
from streamsr.core.events import Code, Event
from streamsr.core.redact import protect, protect_word
from streamsr.core.status import OutputState, OutputStatus, StreamState
from streamsr.mqtt.event_queue import QueuedEvent
from streamsr.mqtt.messages import event_json, metrics_json, state_json

CANARY = "p@ss/w%rd:#1"


def test_a_state_before_the_first_frame() -> None:
    status = stream_status(state=StreamState.STARTING, model="", wanted="", input="", output="")
    payload = json.loads(state_json(CameraState(status, False, None, {})))
    assert payload == {
        "state": "starting",
        "code": "",
        "reason": "",
        "since": "",
        "doing": "",
        "had_frame": False,
        "enabled": False,
        "model": None,
        "wanted": None,
        "size": "auto",
        "input": None,
        "output": None,
        "loses": False,
        "recording": None,
        "outputs": {},
    }


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf"), None])
def test_numbers_that_json_does_not_have_are_null(odd: float | None) -> None:
    status = stream_status(fps=odd, latency_p50_ms=odd, latency_p99_ms=odd)
    payload = json.loads(metrics_json(status), parse_constant=pytest.fail)
    assert payload["fps"] is None
    assert payload["latency_ms"] == {"p50": None, "p99": None}


def test_the_self_check_is_published() -> None:
    camera = camera_state(self_check_gain_db=-0.2501, self_check_loses=True)
    assert json.loads(state_json(camera))["loses"] is True
    assert json.loads(metrics_json(camera.status))["self_check_gain_db"] == -0.25
    assert json.loads(metrics_json(stream_status()))["self_check_gain_db"] is None


def test_numbers_are_short() -> None:
    assert json.loads(metrics_json(stream_status(fps=24.98765432)))["fps"] == 24.988


def test_an_event_s_time_is_utc() -> None:
    when = datetime(2026, 11, 24, 13, 5, 9, 120_000, timezone(timedelta(hours=1)))
    event = Event(Code.OUT_DOWN, "yard", "refused", "rtsp-1", "tried again every 2 s")
    payload = json.loads(event_json(QueuedEvent(event, when, (Code.OUT_UP,))))
    assert payload == {
        "code": "OUT_DOWN",
        "severity": "warning",
        "subject": "yard/rtsp-1",
        "message": "refused; tried again every 2 s",
        "doing": "tried again every 2 s",
        "time": "2026-11-24T12:05:09.120Z",
        "between": ["OUT_UP"],
    }


def test_no_secret_is_published() -> None:
    url = f"rtsp://admin:{CANARY}@10.0.0.9/x?token=hunter22"
    protect(url)
    protect_word('quo"te\\d')
    camera = camera_state(model=f"/models/{url}", wanted='quo"te\\d')
    outputs = {
        name: OutputStatus(name, target, OutputState.UP, reason=f"{CANARY} is refused")
        for name, target in (("a", url), (f"server of {CANARY}", "b"))
    }
    camera = CameraState(camera.status, True, True, outputs)
    event = Event(Code.SRC_AUTH, "yard", f"{url} refuses {CANARY}")
    status = stream_status(dropped_by={url: 1})
    for payload in (
        state_json(camera),
        event_json(QueuedEvent(event, datetime.now(UTC))),
        metrics_json(status),
    ):
        text = json.dumps(json.loads(payload), ensure_ascii=False)
        assert not any(word in text for word in ("w%rd", "hunter22", "admin", "te\\\\d"))
        assert "***" in text


@pytest.mark.parametrize("text", ["\udcff", "ü", "\x00", "😀", '"\\'])
def test_any_text_can_be_published(text: str) -> None:
    payload: Any = json.loads(
        event_json(QueuedEvent(Event(Code.SRC_UP, "yard", text), datetime.now(UTC)))
    )
    assert payload["message"] == {"\udcff": "\\xff"}.get(text, text)  # a byte that is no UTF-8
