"""Edits of cameras hold across restarts, until the node's file says something else of them."""

import json
from pathlib import Path

import pytest

from streamsr.control.node_api import NodeStatus
from streamsr.core.config import parse
from streamsr.core.errors import UserError
from streamsr.core.events import Code, Event
from streamsr.core.events.journal import logged_journal
from streamsr.core.settings import NodeSettings, StreamSettings
from streamsr.node.edits import KeptEdits
from streamsr.node.kept import open_edits
from streamsr.node.node import Node

YARD = StreamSettings.model_validate(
    {"name": "yard", "input": {"url": "rtsp://u:yardsecret@10.0.0.1/x"}, "record": {"folder": "r"}}
)
GATE = StreamSettings.model_validate({"name": "gate", "input": {"url": "demo"}})


DEMO = {"input": {"url": "demo"}}


def node(*streams: StreamSettings) -> NodeSettings:
    return NodeSettings(streams=streams)


def with_size(stream: StreamSettings, size: str) -> StreamSettings:
    return stream.model_copy(
        update={"output": stream.output.model_copy(update={"size": size, "scale": None})}
    )


def kept(path: Path | None, told: list[Event] | None = None) -> KeptEdits:
    return KeptEdits(path, (told if told is not None else []).append)


def test_what_was_changed_added_and_removed_is_there_after_a_restart(tmp_path: Path) -> None:
    path, added = tmp_path / "state" / "home.json", GATE.model_copy(update={"name": "added"})
    edits = kept(path)
    assert edits.applied(node(YARD, GATE)) == node(YARD, GATE)
    edits.commit(node(YARD, GATE))
    edits.keep(YARD, with_size(YARD, "720p"))
    edits.keep(None, added)
    edits.keep(GATE, None)
    assert kept(path).applied(node(YARD, GATE)).streams == (with_size(YARD, "720p"), added)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "yardsecret" not in path.read_text(), "only what changed is kept"


def test_an_address_with_a_dollar_in_it_is_kept_as_it_is(tmp_path: Path) -> None:
    path, told = tmp_path / "home.json", list[Event]()
    gate = GATE.model_copy(
        update={"input": GATE.input.model_copy(update={"url": "rtsp://u:a${b}c@10.0.0.1/x"})}
    )
    edits = kept(path)
    edits.commit(node(gate))
    edits.keep(gate, with_size(gate, "720p"))
    assert kept(path, told).applied(node(gate)).streams == (with_size(gate, "720p"),)
    assert told == []


def test_a_change_that_is_taken_back_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "home.json"
    edits = kept(path)
    edits.commit(node(YARD))
    edits.keep(YARD, with_size(YARD, "720p"))
    edits.keep(with_size(YARD, "720p"), YARD)
    added = GATE.model_copy(update={"name": "added"})
    edits.keep(None, added)
    edits.keep(added, None)
    assert json.loads(path.read_text()) == {"cameras": {}}


def test_the_file_has_the_last_word_of_a_camera_that_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "home.json"
    edits = kept(path)
    edits.commit(node(YARD, GATE))
    edits.keep(YARD, with_size(YARD, "720p"))
    edits.keep(GATE, None)
    edits.keep(None, GATE.model_copy(update={"name": "added"}))
    changed = YARD.model_copy(update={"enabled": False})
    owned = GATE.model_copy(update={"name": "added", "enabled": False})
    read = node(changed, GATE.model_copy(update={"enabled": False}), owned)
    for one in (edits, kept(path)):  # at a reload, and after a restart
        streams = one.applied(read)
        one.commit(read)
        assert [(s.name, s.enabled, s.output.size) for s in streams.streams] == [
            ("yard", False, None),
            ("gate", False, None),
            ("added", False, None),
        ]


@pytest.mark.parametrize("address", ["${GATE}", "rtsp://u:${GATE}@10.0.0.1/x", "@FOLDER/gate"])
def test_another_password_of_a_camera_leaves_what_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    def read(secret: str) -> NodeSettings:
        monkeypatch.setenv("GATE", secret)
        (tmp_path / "gate").write_text(secret)
        url = address.replace("FOLDER", str(tmp_path))
        data = {"streams": [{"name": "gate", "input": {"url": url}}, {"name": "yard"} | DEMO]}
        return parse(data, NodeSettings, "test")

    path = tmp_path / "home.json"
    edits, before = kept(path), read("rtsp://u:before-it@10.0.0.1/x")
    edits.commit(before)
    edits.keep(before.streams[0], before.streams[0].model_copy(update={"enabled": False}))
    after = read("rtsp://u:after-it@10.0.0.1/x")
    for one in (edits, kept(path)):  # at a reload, and after a restart
        found = one.applied(after).streams[0]
        assert not found.enabled
        assert found.input.url == after.streams[0].input.url
    assert "before-it" not in path.read_text()


def test_a_file_that_is_refused_leaves_what_was_changed(tmp_path: Path) -> None:
    path = tmp_path / "home.json"
    edits = kept(path)
    edits.commit(node(YARD, GATE))
    off = GATE.model_copy(update={"enabled": False})
    edits.keep(GATE, off)
    assert edits.applied(node(YARD, with_size(GATE, "720p"))).streams[1].enabled
    assert edits.applied(node(YARD, GATE)).streams == (YARD, off), "the file was put back"
    edits.keep(YARD, with_size(YARD, "720p"))
    assert kept(path).applied(node(YARD, GATE)).streams == (with_size(YARD, "720p"), off)


def test_what_goes_no_longer_together_is_left_out_and_told(tmp_path: Path) -> None:
    path, told = tmp_path / "home.json", []
    edits = kept(path, told)
    edits.commit(node(YARD, GATE))
    edits.keep(YARD, None)
    again = kept(path, told)
    assert again.applied(node(YARD)) == node(YARD), "no camera would be left"
    assert not told, "nothing runs by it yet"
    again.commit(node(YARD))
    assert [event.code for event in told] == [Code.EDITS_LOST]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"cameras": []}',
        '{"cameras": {"yard": 1}}',
        '{"cameras": {"yard": {"base": ""}}}',
        '{"cameras": {"yard": {"base": "", "patch": {"nonsense": 1}}}}',
        '{"cameras": {"new": {"base": "", "patch": 7}}}',
        '{"cameras": {"new": {"base": "", "patch": {"input": {"uri": "rtsp://a:secretword@"}}}}}',
    ],
)
def test_a_damaged_state_is_told_and_stops_nothing(tmp_path: Path, text: str) -> None:
    path, told = tmp_path / "home.json", []
    path.write_text(text)
    edits = kept(path, told)
    assert edits.applied(node(YARD)) == node(YARD)
    edits.commit(node(YARD))
    assert "secretword" not in repr(told)


def test_where_nothing_can_be_written_the_change_holds_until_the_end(tmp_path: Path) -> None:
    told: list[Event] = []
    (tmp_path / "file").write_text("")
    edits = kept(tmp_path / "file" / "home.json", told)
    edits.commit(node(YARD))
    edits.keep(YARD, with_size(YARD, "720p"))
    assert told[-1].code is Code.EDITS_LOST
    assert "until the node ends" in told[-1].message
    assert edits.applied(node(YARD)).streams == (with_size(YARD, "720p"),)
    (tmp_path / "file").unlink()
    for _ in range(2):
        edits.keep(YARD, with_size(YARD, "1080p"))
    assert [event.code for event in told] == [Code.EDITS_LOST] * 2 + [Code.EDITS_KEPT]


def test_where_edits_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "home.toml"
    path.write_text("")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "service"))

    def opened(**serve: object) -> object:
        settings = {"serve": serve, "streams": [GATE]}
        return open_edits(NodeSettings.model_validate(settings), path, [], lambda event: None)

    edits = opened()
    assert isinstance(edits, KeptEdits)
    edits.commit(node(GATE))
    edits.keep(GATE, with_size(GATE, "720p"))
    (written,) = (tmp_path / "service").iterdir()
    assert written.name.startswith("node-"), "the node's name, and what tells its file from others"
    assert opened(edits="forget") is None
    assert opened(edits="file") is not None
    path.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        opened(edits="file")


def test_without_a_folder_the_node_says_that_it_forgets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    settings = NodeSettings.model_validate({"serve": {"listen": "127.0.0.1:0"}, "streams": [GATE]})

    def status(path: Path | None, home: str) -> NodeStatus:
        monkeypatch.setenv("HOME", home)
        journal = logged_journal()
        return Node(settings, journal, open_edits(settings, path, [], journal)).status()

    assert (found := status(tmp_path / "node.toml", "no-home")).edits == "forget"
    assert found.code == Code.EDITS_LOST
    assert "state_folder" in found.reason
    known = [status(path, str(tmp_path)) for path in (tmp_path / "node.toml", None)]
    assert [(found.edits, found.code) for found in known] == [("state", ""), ("forget", "")]


def test_what_can_no_longer_be_run_keeps_no_node_from_starting(tmp_path: Path) -> None:
    path, journal, told = tmp_path / "home.json", logged_journal(), list[Event]()
    journal.listeners.append(told.append)
    edits = kept(path)
    edits.commit(node(YARD, GATE))
    unknown = GATE.model_copy(update={"model": GATE.model.model_copy(update={"name": "gone"})})
    edits.keep(GATE, unknown)
    edits.keep(None, unknown.model_copy(update={"name": "added"}))
    yard = YARD.model_copy(update={"record": None})
    started = Node(node(yard, GATE), journal, KeptEdits(path, journal))
    assert started.settings.streams == (yard, GATE)
    assert "gone" in told[0].message
    with pytest.raises(UserError, match="model: got 'gone'"):  # as the file itself says it
        Node(node(yard, unknown), journal, KeptEdits(path, journal))
