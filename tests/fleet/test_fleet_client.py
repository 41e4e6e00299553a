"""The controller, as those see it who ask it: it restarts, is gone, or nobody listens."""

import signal
import socket
import sys
import time
from typing import Any

import pytest
import ray

from streamsr.core.errors import StreamsrError, UserError
from streamsr.fleet.cluster import client
from streamsr.fleet.cluster.client import FleetClient, joined, kept_signals

UNAVAILABLE = ray.exceptions.ActorUnavailableError("it restarts", None)


class Starting:
    """A controller whose answers are these, one after another; errors are raised."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.status = self

    def remote(self) -> Any:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest.fixture(autouse=True)
def answers_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(client.ray, "get", get)
    monkeypatch.setattr(client.ray, "wait", lambda answers, timeout: (answers, []))
    monkeypatch.setattr(client.gcs, "address", lambda: "192.0.2.1:6379")


def test_a_controller_that_restarts_is_asked_again() -> None:
    fleet = FleetClient(Starting(UNAVAILABLE, UNAVAILABLE, "as it stands"))
    assert fleet.status() == "as it stands"


def test_one_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_S", 0.5)
    with pytest.raises(StreamsrError, match="does not answer"):
        FleetClient(Starting(UNAVAILABLE)).status()


def test_a_client_that_has_lost_its_cluster_says_so() -> None:
    fleet = FleetClient(Starting(Exception("Ray Client is not connected.")))
    with pytest.raises(StreamsrError, match="not connected"):
        fleet.status()


def test_where_nobody_listens_it_is_said_at_once() -> None:
    began = time.monotonic()
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        for url in (address, f"ray://{address}"):
            with pytest.raises(UserError, match="no Ray cluster answers at"), joined(url):
                pass
    assert time.monotonic() - began < 30


def test_what_takes_the_signals_gives_them_back() -> None:
    def ours(*_: object) -> None: ...

    before = signal.signal(signal.SIGTERM, ours)
    try:
        with kept_signals():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_signal_that_came_while_another_had_them_is_handled() -> None:
    came = []
    before = signal.signal(signal.SIGTERM, lambda *_: came.append("ours"))
    try:
        with pytest.raises(InterruptedError), kept_signals():
            _ended_by_another()
        assert came == ["ours"]
    finally:
        signal.signal(signal.SIGTERM, before)


def _ended_by_another() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.raise_signal(signal.SIGTERM)
