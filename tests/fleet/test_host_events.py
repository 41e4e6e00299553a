"""Events of hosts, as their API tells them, become events again."""

import json
from datetime import UTC, datetime

import pytest

from streamsr.core.events import Code, Event
from streamsr.fleet.gateway.host_events import event_of


@pytest.mark.parametrize(
    "event",
    [
        Event(Code.SRC_DOWN, "gate", "no answer; really", doing="tried again every 5 s"),
        Event(Code.OUT_UP, "gate", "it takes packets", part="rtsp-1"),
        Event(Code.MQTT_UP, "", "connected"),
    ],
)
def test_an_event_is_the_same_again(event: Event) -> None:
    assert event_of(json.dumps(event.as_json(datetime.now(UTC))).encode()) == event


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"code": "LATER", "subject": "a", "message": "", "doing": ""}']
)
def test_what_is_not_known_is_left_out(data: bytes) -> None:
    assert event_of(data) is None
