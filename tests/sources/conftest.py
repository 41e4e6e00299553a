"""Fixtures for tests of live sources."""

import threading
from collections.abc import Iterator
from time import monotonic, sleep

import pytest

ENDS_S = 5.0  # after a source: a thread that reads ahead ends with its next segment


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """No thread outlives a source for long."""
    before = threading.active_count()
    yield
    deadline = monotonic() + ENDS_S
    while threading.active_count() > before and monotonic() < deadline:
        sleep(0.02)
    assert threading.active_count() <= before
