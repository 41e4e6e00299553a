"""Two versions of streamsr in one fleet, as while hosts get a new one after another."""

import pickle
from dataclasses import fields, make_dataclass, replace
from typing import Any

import pytest

from streamsr.fleet import messages
from streamsr.fleet.messages import CameraReport, HostReport, Orders

REPORT = HostReport(
    "yard", 1, 2.0, {}, "kind", 2000.0, 5.0, (CameraReport("gate", 3, "live"),), lease_s=3.0
)


def another(kind: type[Any], left_out: str = "", added: str = "") -> type[Any]:
    """A message as another version has it, which pickles as the same."""
    names = [(one.name, one.type, one) for one in fields(kind) if one.name != left_out]
    more = [(added, str, "new")] if added else []
    found = make_dataclass(kind.__name__, names + more, bases=(messages._Message,), frozen=True)
    found.__module__ = kind.__module__
    return found


def test_a_message_of_an_older_version_is_read_with_what_it_lacks_as_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    older = another(HostReport, left_out="network_mpx")
    names = [one.name for one in fields(older)]
    said = older(**{name: getattr(replace(REPORT, path_mpx=7.0), name) for name in names})
    with monkeypatch.context() as patch:
        patch.setattr(messages, "HostReport", older)
        sent = pickle.dumps(said)
    assert pickle.loads(sent) == replace(REPORT, path_mpx=7.0, network_mpx=0.0)


def test_a_message_of_a_newer_version_is_read_without_what_is_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    newer = another(Orders, added="colour")
    with monkeypatch.context() as patch:
        patch.setattr(messages, "Orders", newer)
        sent = pickle.dumps(newer(3.0, (), 8, {}, "red"))
    assert pickle.loads(sent) == Orders(3.0, (), 8)
