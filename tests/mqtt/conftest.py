"""Fixtures for the tests of MQTT."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from peers.certificates import Authority
from peers.mosquitto import MOSQUITTO_INSTALL, Mosquitto, mosquitto_path

pytest.register_assert_rewrite("running_client")


@pytest.fixture(scope="session")
def require_mosquitto() -> None:
    """Ask for mosquitto: skip without it, fail in CI."""
    if mosquitto_path() is None:
        reason = f"mosquitto is not installed: {MOSQUITTO_INSTALL}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture
def broker(require_mosquitto: None) -> Iterator[Callable[..., Mosquitto]]:
    """``broker(**settings)``: a running ``Mosquitto``, stopped after the test."""
    with ExitStack() as stack:

        def start(**settings: Any) -> Mosquitto:
            return stack.enter_context(Mosquitto(**settings))

        yield start


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority; its own certificate and its first server's are files."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes no password from outside."""
    monkeypatch.delenv("STREAMSR_MQTT_PASSWORD", raising=False)
