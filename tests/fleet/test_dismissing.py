"""The end of a fleet: its hosts are ended all at once, those that do not answer too."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest

from streamsr.fleet.cluster import recruiting
from streamsr.fleet.cluster.recruiting import Recruiter


class Actor:
    """A host that takes this long to end what it runs."""

    def __init__(self, takes_s: float) -> None:
        self._takes_s = takes_s
        self.ended = False
        self.stop = self

    async def remote(self) -> None:
        await asyncio.sleep(self._takes_s)
        self.ended = True


async def test_a_frozen_host_keeps_no_other_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    actors: Mapping[str, Any] = {"frozen": Actor(60.0)} | {f"h-{n}": Actor(0.3) for n in range(20)}
    killed: list[Actor] = []
    monkeypatch.setattr(recruiting, "ENDED_S", 1.5)
    monkeypatch.setattr(recruiting, "_actors", lambda: iter(actors.items()))
    monkeypatch.setattr(recruiting.ray, "kill", lambda actor, no_restart: killed.append(actor))
    recruiter, began = Recruiter(), time.monotonic()
    await recruiter.dismiss()
    assert time.monotonic() - began < 5.0, "one after another they take longer"
    assert all(actor.ended for name, actor in actors.items() if name != "frozen")
    assert set(killed) == set(actors.values())


async def test_hosts_that_were_dismissed_are_not_begun_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recruiting, "_actors", lambda: iter(()))
    monkeypatch.setattr(recruiting, "alive_nodes", lambda: pytest.fail("it looks for hosts"))
    recruiter = Recruiter()
    await recruiter.dismiss()
    await asyncio.to_thread(recruiter.recruit)
