"""What the README and the pages under docs/ show is true: it runs, or is parsed as it stands."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.core import TyperGroup

from streamsr.cli.main import app
from streamsr.core.config import parse
from streamsr.core.settings import NodeSettings, PipelineSettings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TARGETS = re.findall(r"(?m)^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"))
MQTT_TOOLS = {"mosquitto_sub", "mosquitto_pub"}


def fences(kind: str) -> Iterator[Any]:
    """Every fenced block of a kind, named by its page and its place there."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for number, block in enumerate(re.findall(rf"```{kind}\n(.*?)```", text, re.S), 1):
            yield pytest.param(block, id=f"{page.stem}-{number}")


def commands() -> Iterator[Any]:
    """Every command line that a page shows."""
    for page in PAGES:
        for line in re.findall(r"(?m)^\$ (.*)$", page.read_text(encoding="utf-8")):
            yield pytest.param(shlex.split(line, comments=True), id=f"{page.stem}: {line}")


def test_the_readme_leads_to_every_page() -> None:
    said = (ROOT / "README.md").read_text(encoding="utf-8")
    (read_on,) = re.findall(r"(?ms)^Read on: .*?$\n\n|^Read on: .*\Z", said)
    named = re.findall(r"\]\((docs/[\w-]+\.md)\)", read_on)
    assert sorted(named) == sorted(f"docs/{page.name}" for page in PAGES[1:])


@pytest.mark.parametrize("arguments", [*commands()])
def test_a_command_is_one_there_is(arguments: list[str], tmp_path: Path) -> None:
    program, *rest = arguments
    if program == "streamsr":
        parse_command(rest)
    elif program == "make":
        assert set(rest) <= set(TARGETS)
    elif program == "openssl":
        line = shlex.join(arguments).replace("'>'", ">")
        subprocess.run(line, shell=True, cwd=tmp_path, check=True, capture_output=True, timeout=30)
    elif program == "curl":
        assert any(argument.startswith("http://127.0.0.1:8080/api/v1/") for argument in rest)
    else:
        assert program in MQTT_TOOLS
        assert {"-h", "-t"} <= set(rest)


def parse_command(arguments: list[str]) -> None:
    """Parses a command line as the program does, and does not run it.

    Raises LookupError for a command that there is not, UsageError for a wrong option.
    """
    command: Any = typer.main.get_command(app)
    context = command.make_context("streamsr", [], resilient_parsing=True)
    while isinstance(command, TyperGroup):
        name, *arguments = arguments
        found = command.get_command(context, name)
        if found is None:
            raise LookupError(f"there is no command {name!r}")
        command = found
    command.make_context(command.name, list(arguments), parent=context)


def test_a_wrong_command_is_noticed() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse_command(["upscale", "in.mp4", "out.mp4", "--nosuch"])
    with pytest.raises(Exception, match="Missing parameter"):
        parse_command(["upscale", "in.mp4"])
    with pytest.raises(LookupError, match="no command 'upscail'"):
        parse_command(["upscail", "in.mp4"])


@pytest.mark.parametrize("block", [*fences("toml")])
def test_settings_are_as_shown(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in re.findall(r"\$\{(\w+)\}", block):
        monkeypatch.setenv(variable, "rtsp://camera/stream")
    data = tomllib.loads(block)
    if "data" in data:
        from streamsr.train.settings import TrainSettings

        parse(data, TrainSettings, "docs")
    else:
        parse(data, NodeSettings if "streams" in data else PipelineSettings, "docs")


@pytest.mark.parametrize("block", [*fences("yaml")])
def test_settings_of_other_software_can_be_read(block: str) -> None:
    assert isinstance(yaml.safe_load(block), dict)


@pytest.mark.parametrize("snippet", [*fences("python")])
def test_snippets_run(snippet: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", snippet],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,  # each imports torch, on a busy machine
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_readme_is_one_screen() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 60


def test_every_page_is_linked_and_has_commands_or_code() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for page in PAGES[1:]:
        assert f"docs/{page.name}" in readme
        assert "```" in page.read_text(encoding="utf-8")


def test_openssl_is_there_to_be_run() -> None:
    assert shutil.which("openssl")
