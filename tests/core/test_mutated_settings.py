"""Files with faults of every kind: each is refused in words, and never with a traceback."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from streamsr.core.config import load
from streamsr.core.errors import ConfigError, UserError
from streamsr.core.settings import FleetSettings, NodeSettings, PipelineSettings
from streamsr.pipeline.check import check_settings

PIPELINES = Path(__file__).parents[2] / "pipelines"
MUTANTS = 500  # of each file
SECRET = "hunter22"

VALUES = [
    *("true", "0", "-1", "1", "1.5", "-0.0", "0.0001", "nan", "inf", "-inf", "1e308", "1e-308"),
    *("9" * 30, "9" * 5000, "0x" + "f" * 5000, "2026-11-24T12:00:00Z", "12:00:00", "[]", "{}"),
    *('""', '" "', '"\\u0000"', '"a\\u0000b"', '"a\\nb"', '"\\u001b[2J"', '"ü"', '"\U0001f4f7"'),
    *(
        '"."',
        '".."',
        '"~"',
        '"-"',
        '"a/b/c"',
        '"a.mp4"',
        '"a.mkv/b"',
        '"%s"',
        '"${HOME"',
        '"${NO}"',
    ),
    *(json.dumps(letter * size) for letter in ("x", "ü", "x/") for size in (300, 5000)),
    *('"/proc/self/mem"', '"/dev/null"', '"rtsp://["', '"rtsp://[::1"', '"rtsp://"', '"://"'),
    *('"rtsp://h:port/"', '"rtsp://h:99999999/"', '"http://℀/"', '"file:///etc/passwd"'),
    *(f'"{scheme}user:{SECRET}@cam/x"' for scheme in ("", "rtps://", "rtsp://", "mqtt://", "x:")),
    *(f'"rtps://u:it\'s {SECRET}@h"', f'"rtsp://u:{SECRET}@[::1"', f'["rtsp://u:{SECRET}@h"]'),
    *(f'{{ url = "h/live/{SECRET}" }}', f'[{{ url = "rtmpx://h/live/{SECRET}" }}]'),
    *("[[1], [2]]", "{ a = 1 }", '[{ name = "a" }]', "[" * 3000, "{ a = " * 500, "@", "'''", '"'),
]


def mutant(text: str, random_: random.Random) -> str:
    """The file with one to three faults in it."""
    lines = text.splitlines()
    for _ in range(random_.randint(1, 3)):
        place = random_.randrange(len(lines))
        random_.choice(FAULTS)(lines, place, random_)
    return "\n".join(lines)


def value_changed(lines: list[str], place: int, random_: random.Random) -> None:
    key, equals, _ = lines[place].partition("=")
    if equals:  # what was left out is set
        lines[place] = f"{key.removeprefix('# ')}= {random_.choice(VALUES)}"


def inner_value_changed(lines: list[str], place: int, random_: random.Random) -> None:
    values = list(re.finditer(r"(?<== )(\"[^\"]*\"|[\w.]+)", lines[place]))
    if values:
        start, end = random_.choice(values).span()
        lines[place] = lines[place][:start] + random_.choice(VALUES) + lines[place][end:]


def key_changed(lines: list[str], place: int, random_: random.Random) -> None:
    letters = [n for n, letter in enumerate(lines[place].partition("=")[0]) if letter.isalpha()]
    if letters:
        n = random_.choice(letters)
        lines[place] = lines[place][:n] + random_.choice("xé.[ \0") + lines[place][n + 1 :]


def dropped(lines: list[str], place: int, _random: random.Random) -> None:
    if len(lines) > 1:
        del lines[place]


def doubled(lines: list[str], place: int, random_: random.Random) -> None:
    lines.insert(random_.randrange(len(lines)), lines[place])


FAULTS: list[Callable[[list[str], int, random.Random], None]] = [
    *(value_changed,) * 4,
    *(inner_value_changed,) * 4,
    key_changed,
    dropped,
    doubled,
]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("reference.toml", PipelineSettings),
        ("node.toml", NodeSettings),
        ("fleet.toml", FleetSettings),
    ],
)
def test_no_fault_in_a_file_is_a_traceback(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    kind: type[PipelineSettings] | type[NodeSettings],
) -> None:
    monkeypatch.chdir(tmp_path)  # where outputs are tried
    text = (PIPELINES / name).read_text("utf-8")
    refusals = [refusal(tmp_path / name, kind, text, seed) for seed in range(MUTANTS)]
    said = [words for words in refusals if words]
    assert MUTANTS // 2 < len(said) < MUTANTS, "some faults are harmless"
    assert all(len(words) < 10_000 for words in said)
    assert not [words for words in said if words.startswith("a secret")]


def refusal(
    path: Path, kind: type[PipelineSettings] | type[NodeSettings], text: str, seed: int
) -> str:
    """What is said of the mutant of that number; nothing where it is taken."""
    path.write_text(mutant(text, random.Random(seed)), "utf-8")
    try:
        settings = load(path, kind)
    except ConfigError as error:
        said = str(error)
        return f"a secret, seed {seed}: {said}" * (SECRET in said) or said
    streams = settings.streams if isinstance(settings, NodeSettings) else (settings,)
    try:
        for stream in streams:
            check_settings(stream)
    except UserError as error:
        return str(error)
    return ""
