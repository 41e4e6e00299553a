"""What this machine measures is kept in a file that nothing depends on."""

import json
import threading
from pathlib import Path

import pytest

from streamsr.zoo import measured
from streamsr.zoo.measured import FILE_NAME, Measured, cache_folder


class Trial:
    """Gives a figure, and counts how often it is made."""

    def __init__(self, figure: float) -> None:
        self.made = 0
        self._figure = figure

    def __call__(self) -> float:
        self.made += 1
        return self._figure


def test_a_figure_is_measured_once_and_kept(tmp_path: Path) -> None:
    trial = Trial(0.25)
    folder = tmp_path / "not" / "there"
    first = Measured(folder)
    assert [first.of("a", trial), first.of("a", trial), Measured(folder).of("a", trial)] == [
        0.25
    ] * 3
    assert trial.made == 1
    assert [path.name for path in folder.iterdir()] == [FILE_NAME]


def test_figures_of_two_processes_are_both_kept(tmp_path: Path) -> None:
    one, two = Measured(tmp_path), Measured(tmp_path)
    one.of("a", Trial(1))
    two.of("b", Trial(2))
    third = Measured(tmp_path)
    assert (third.of("a", Trial(9)), third.of("b", Trial(9))) == (1, 2)


def test_a_figure_is_measured_by_one_thread(tmp_path: Path) -> None:
    figures, begun, trial = Measured(tmp_path), threading.Barrier(4), Trial(3)

    def ask() -> None:
        begun.wait(10)
        figures.of("a", trial)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert trial.made == 1


def test_other_machines_figures_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "machine_name", lambda: "another")
    Measured(tmp_path).of("a", Trial(1))
    monkeypatch.undo()
    trial = Trial(2)
    assert Measured(tmp_path).of("a", trial) == 2, "it is not this machine's"
    kept = json.loads((tmp_path / FILE_NAME).read_text(encoding="utf-8"))
    assert kept.pop("another") == {"a": 1}
    assert list(kept.values()) == [{"a": 2}]
    (machine,) = kept
    assert "cores" in machine
    assert "streamsr" in machine
    assert "torch" in machine


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "7", '{"a": 1}', '{"a": {"b": "c"}}', '{"a": {"b": null}}', "\0"]
)
def test_a_damaged_file_is_written_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content, encoding="utf-8")
    assert Measured(tmp_path).of("a", Trial(1)) == 1
    assert Measured(tmp_path).of("a", Trial(2)) == 1


def test_a_folder_that_cannot_be_written_only_costs_the_next_process(tmp_path: Path) -> None:
    """For root too, who may write anywhere: it is a file."""
    folder = tmp_path / "file"
    folder.write_bytes(b"")
    trial = Trial(1)
    figures = Measured(folder)
    assert (figures.of("a", trial), figures.of("a", trial), trial.made) == (1, 1, 1)
    assert (Measured(folder).of("a", trial), trial.made) == (1, 2)


def test_a_trial_that_fails_is_made_again(tmp_path: Path) -> None:
    figures = Measured(tmp_path)

    def fail() -> float:
        raise LookupError

    with pytest.raises(LookupError):
        figures.of("a", fail)
    assert figures.of("a", Trial(1)) == 1


@pytest.mark.parametrize(
    ("xdg", "home", "expected"),
    [
        ("/x/cache", "/home/me", "/x/cache/streamsr"),
        ("", "/home/me", "/home/me/.cache/streamsr"),
        ("relative", "/home/me", "/home/me/.cache/streamsr"),
        ("", "~", None),
    ],
)
def test_the_folder_is_the_users_for_what_can_be_made_again(
    monkeypatch: pytest.MonkeyPatch, xdg: str, home: str, expected: str | None
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    monkeypatch.setenv("HOME", home)
    assert cache_folder() == (Path(expected) if expected else None)


def test_without_a_home_figures_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "~")
    trial = Trial(1)
    figures = Measured()
    assert (figures.of("a", trial), figures.of("a", trial), trial.made) == (1, 1, 1)
