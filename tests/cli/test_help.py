"""Help texts: whole, and alike in every command."""

import re
from collections.abc import Iterator

import click
import pytest
import typer
from typer.testing import CliRunner

from streamsr.cli.main import app


def commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    for inner, one in getattr(command, "commands", {}).items():
        yield from commands(f"{name} {inner}".strip(), one)


COMMANDS = dict(commands("", typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_text_is_whole(name: str) -> None:
    for parameter in COMMANDS[name].params:
        text = getattr(parameter, "help", None) or ""
        assert text.endswith("."), f"{name} {parameter.name}: {text!r}"
        assert "[" not in text, f"{name} {parameter.name}: rich would take it for markup"


@pytest.mark.parametrize("columns", ["80", "200"])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_word_is_shown(name: str, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", int(columns))
    done = CliRunner().invoke(app, [*name.split(), "--help"])
    assert done.exit_code == 0
    shown = {*re.sub("[\u2500-\u257f]", " ", done.output).split()}
    command = COMMANDS[name]
    texts = [command.help or "", *(getattr(one, "help", None) or "" for one in command.params)]
    narrow = int(columns) // 5  # a column for the words that are cut at its end
    words = {word for text in texts for word in text.split() if len(word) < narrow}
    assert words <= shown
    options = {option for one in command.params for option in one.opts if option[0] == "-"}
    assert options <= shown


@pytest.mark.parametrize("name", COMMANDS)
def test_arguments_are_named_alike(name: str) -> None:
    for parameter in COMMANDS[name].params:
        if parameter.param_type_name == "argument":
            shown = parameter.metavar or ""
            assert shown == shown.upper() != "", f"{name} {parameter.name}: {shown!r}"
