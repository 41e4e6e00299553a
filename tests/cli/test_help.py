"""Help texts: whole, and alike in every command."""

from collections.abc import Iterator

import click
import pytest
import typer

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


@pytest.mark.parametrize("name", COMMANDS)
def test_arguments_are_named_alike(name: str) -> None:
    for parameter in COMMANDS[name].params:
        if parameter.param_type_name == "argument":
            shown = parameter.metavar or ""
            assert shown == shown.upper() != "", f"{name} {parameter.name}: {shown!r}"
