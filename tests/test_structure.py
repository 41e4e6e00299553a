"""One of each thing, in the field's words: what tests/test_imports.py cannot see in imports."""

import ast
import dataclasses
import re
import typing
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamsr.core.deadline import STOP_S
from streamsr.ipc import messages

ROOT = Path(__file__).parents[1]
SOURCES = {
    str(path.relative_to(ROOT / "streamsr")): path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "streamsr").rglob("*.py"))
}
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))

MOST_LINES = 300  # of a module
PRIVATE_WORDS = (  # say what STYLE calls the thing: frame, audio, session, fallback, ...
    r"pictures?|sounds?|for ever|anew|lives|ladder|step(ped)? (down|up)|hub|sight|board|mended|"
    r"pulse|patience|intake|backlog|supply|admitted|life|"
    r"whoever takes|under way|in the books|let a|floors|house"
)
EXCEPTIONS = re.compile("FORMER_NAMES")  # of settings


def modules_with(pattern: str) -> list[str]:
    return [name for name, text in SOURCES.items() if re.search(pattern, text)]


def test_one_module_starts_processes() -> None:
    assert modules_with(r"create_subprocess|\bsubprocess\.|os\.fork|multiprocessing") == [
        "ipc/process.py",
        "outputs/fence.py",  # what it forks shares the end of what forks it
    ]


def test_one_constant_says_how_long_a_stop_may_take() -> None:
    named = re.compile(r"^_?[A-Z_]*(STOP|LEAVE|LINGER|DRAIN|GOODBYE)[A-Z_]*_S\b", re.M)
    found = {name: named.findall(text) for name, text in SOURCES.items() if named.search(text)}
    assert found.keys() == {"core/deadline.py", "cli/run.py"}, "cli/run.py has twice that one"
    assert STOP_S == 5.0


def test_a_stop_makes_its_deadline_at_the_top() -> None:
    assert modules_with(r"Deadline\.after\(") == [
        "api/opened.py",  # the library's caller names none
        "cli/run.py",  # a signal
        "fleet/cluster/host_actor.py",  # the fleet is ended
        "fleet/cluster/serving.py",  # whoever runs it ends
        "fleet/gateway/gateway.py",  # an end of its own
        "fleet/host/program.py",  # its host leaves it no cameras, or says how long it may take
        "node/camera.py",  # an end of its own, and a command to its recorder
        "node/camera_set.py",  # a change of the cameras
        "node/node.py",  # an end of its own
        "node/remote_stream.py",  # a command
        "pipeline/pipeline.py",  # the library's caller names none
        "serve/app.py",  # likewise
        "serve/webrtc/viewer_session.py",  # a viewer leaves
        "worker/main.py",  # what is left of the main process's, or the main process is gone
    ]


def test_trying_again_is_one_loop_and_a_source_in_its_thread() -> None:
    assert modules_with(r"\.next_s\(\)") == [
        "core/backoff.py",
        "node/remote_stream.py",  # its pauses depend on how a session ended
        "sources/reopened.py",
    ]


def test_what_repeats_is_held_back_in_one_place() -> None:
    assert modules_with(r"class \w*(Throttle|Debounce|Journal)\b") == ["core/events/journal.py"]


def test_one_module_asks_for_the_version() -> None:
    assert modules_with(r"version\(\"streamsr\"\)|PackageNotFoundError") == ["core/version.py"]


def test_a_module_offers_what_it_defines() -> None:
    """Only the entrance of a package offers what is another module's of ours."""
    found = []
    for name, text in SOURCES.items():
        body = [] if name.endswith("__init__.py") else ast.parse(text).body
        imports = [node for node in body if isinstance(node, ast.ImportFrom)]
        ours = [node for node in imports if (node.module or "").startswith("streamsr")]
        imported = {alias.asname or alias.name for node in ours for alias in node.names}
        offered = [
            ast.literal_eval(node.value)
            for node in body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        ]
        found += [f"{name}: {word}" for words in offered for word in words if word in imported]
    assert found == []


def classes_of_messages() -> Iterator[type]:
    for name in messages.__all__:
        kind = getattr(messages, name)
        if kind not in (messages.Message, messages.StreamMessage):
            yield kind


@pytest.mark.parametrize("kind", [*classes_of_messages()], ids=lambda kind: kind.__name__)
def test_a_message_is_a_frozen_dataclass_that_says_who_sends_it_and_when(kind: type) -> None:
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    ways = r"(Main to (worker|output)|(Worker|Output) to main|Host to node|Node to host)[,:]"
    assert re.match(ways, kind.__doc__ or "")
    hints = typing.get_type_hints(kind).values()
    assert not {typing.Any, dict, object} & {typing.get_origin(hint) or hint for hint in hints}


def test_no_module_has_grown_past_its_name() -> None:
    long = {name: n for name, text in SOURCES.items() if (n := text.count("\n")) > MOST_LINES}
    assert long == {}


def test_every_test_file_has_a_name_of_its_own() -> None:
    """pytest imports them by it, whatever folder they are in."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_names_and_texts_are_in_the_words_of_the_field() -> None:
    private = re.compile(rf"\b({PRIVATE_WORDS})\b", re.I)
    texts = SOURCES | {page.name: page.read_text(encoding="utf-8") for page in PAGES}
    found = [
        f"{name}: {line.strip()}"
        for name, text in texts.items()
        for line in text.splitlines()
        if private.search(line) and not EXCEPTIONS.search(line)
    ]
    assert found == []


def test_docstrings_are_in_the_indicative() -> None:
    imperative = re.compile(r"(Give|Let|Have|Take|Make|Wait|Send|Ask|Return|Raise|Keep|Whoever)\b")
    found = []
    for name, text in SOURCES.items():
        if name.startswith("cli/"):  # whose docstrings are the help of commands
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                doc = ast.get_docstring(node) or ""
                found += [f"{name}: {doc[:60]}"] if imperative.match(doc) else []
    assert found == []
