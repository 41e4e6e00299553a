"""The house keeps its floors: imports run downward, and each library lives in one room."""

import ast
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "streamsr"

GROUND = {
    "arrival", "backlog", "backoff", "budget", "channel", "child", "closing", "config", "contest",
    "errors", "events", "frame", "framing", "hub", "ladder", "metrics", "packet", "redact",
    "settings", "shipped", "status", "threads", "timeline", "window",
}  # fmt: skip
FLOORS = [  # from the ground up; a module may import its own floor's room and what lies below
    GROUND,
    {"networks"},
    {"zoo"},
    {"engine", "media", "serve", "control"},
    {"delivery", "feed", "feeding", "intake", "selfcheck", "turn", "wire"},
    {"pipeline"},
    {"building"},
    {"destination", "supply"},
    {"supervisor", "remote", "worker", "publisher", "publishing", "library", "probing", "benching"},
    {"member"},
    {"node"},
    {"terminal"},
    {"train", "running", "command"},
    {"stream_commands", "train_commands", "model_commands"},
    {"cli"},
    {"__main__", "__init__"},
]
BESIDE = [set(pair) for pair in combinations(FLOORS[3], 2)]  # these never import each other
ROOMS = {
    "av": {"media", "serve"},
    "aiortc": {"serve"},
    "aiohttp": {"serve"},
    "aiomqtt": {"control"},
    "cupy": {"engine"},
    "prometheus_client": {"serve"},
    "torch": {"networks", "zoo", "engine", "train", "library", "worker"},
    "typer": {"cli", "stream_commands", "train_commands", "model_commands", "command", "terminal"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The package or top-level module a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module or ""


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_downward(path: Path) -> None:
    room = room_of(path)
    for name in imports_of(path):
        first, *rest = name.split(".")
        if first == "streamsr" and rest and rest[0] != room:
            assert floor_of(rest[0]) <= floor_of(room), f"{room} imports {name}, a floor above"
            assert {room, rest[0]} not in BESIDE, f"{room} and {rest[0]} never import each other"
        elif first in ROOMS:
            assert room in ROOMS[first], f"{first} lives in {sorted(ROOMS[first])}, not in {room}"


def test_the_package_list_names_every_package() -> None:
    listed = (PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8")
    for init in PACKAGE.rglob("__init__.py"):
        name = ".".join(init.parent.relative_to(PACKAGE.parent).parts)
        assert f'"{name}"' in listed


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_say_what_they_are_and_offer(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not tree.body:
        return
    assert ast.get_docstring(tree), "a module docstring says what it owns"
    names = {t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets
             if isinstance(t, ast.Name)}  # fmt: skip
    if path.name not in ("__init__.py", "__main__.py"):
        assert "__all__" in names
