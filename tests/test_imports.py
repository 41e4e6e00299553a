"""The structure of the package: its layers, where each library may be imported, and the names."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "streamsr"

LAYERS = (  # from the top down: a package imports what stands below it, never what stands beside it
    {"__init__", "__main__"},
    {"api"},
    {"cli"},
    {"fleet"},
    {"files"},
    {"train"},
    {"node"},
    {"worker"},
    {"outputs"},
    {"pipeline"},
    {"serve", "mqtt"},
    {"control"},
    {"sources"},
    {"engine", "media"},
    {"bitstream"},
    {"zoo"},
    {"plugins"},
    {"networks"},
    {"ipc"},
    {"core"},
)
LIBRARIES = {  # where a library may be imported, and nowhere else
    "av": {"api", "media", "sources", "outputs", "serve", "train", "plugins"},
    "aiortc": {"serve"},
    "aiohttp": {"serve", "fleet"},
    "aiomqtt": {"mqtt"},
    "cupy": {"engine"},
    "matplotlib": {"train"},
    "cv2": {"networks", "engine", "media", "sources", "train", "pipeline"},
    "prometheus_client": {"serve"},
    "torch": {"networks", "zoo", "engine", "train", "pipeline", "worker", "files", "cli", "api"}
    | {"plugins"},
    "ray": {"fleet"},
    "typer": {"cli"},
}
MOST_AT_THE_TOP = 3  # modules
MOST_IN_A_PACKAGE = 16  # modules, `train` apart

MODULES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}


def name_of(path: Path) -> str:
    """A file's dotted name, `streamsr` left off: "engine.cuda.slots", "engine" for a package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def layer_of(name: str) -> int:
    first = name.split(".")[0]
    found = [number for number, packages in enumerate(LAYERS) if first in packages]
    assert found, f"{first} stands in no layer"
    return found[0]


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Every name that is imported, with what is taken from it: "streamsr.core.errors.UserError"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports() -> Iterator[tuple[str, str]]:
    """Pairs of our modules, the first of which imports the second."""
    known = {name_of(path) for path in MODULES}
    for path, tree in TREES.items():
        for imported in imports_of(tree):
            parts = imported.split(".")[1:]
            while parts and ".".join(parts) not in known:
                parts.pop()
            if imported.startswith("streamsr.") and parts:
                yield name_of(path), ".".join(parts)


def test_imports_run_downward() -> None:
    for importer, imported in own_imports():
        above, below = importer.split(".")[0], imported.split(".")[0]
        if above != below:
            assert layer_of(importer) < layer_of(imported), f"{importer} imports {imported}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = defaultdict(set)
    for importer, imported in own_imports():
        if importer != imported:
            graph[importer].add(imported)
    assert list(circles(graph)) == []


def circles(graph: Mapping[str, Iterable[str]]) -> Iterator[list[str]]:
    """The circles of a graph, each as the path that closes it."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> Iterator[list[str]]:
        if name in path:
            yield path[path.index(name) :]
        elif name not in done:
            for other in sorted(graph.get(name, ())):
                yield from visit(other, [*path, name])
            done.add(name)

    for name in sorted(graph):
        yield from visit(name, [])


def test_circles_are_found() -> None:
    assert list(circles({"a": ["b"], "b": ["c"], "c": ["b"]})) == [["b", "c"]]


def test_libraries_are_imported_where_they_belong() -> None:
    for path, tree in TREES.items():
        package = name_of(path).split(".")[0]
        for imported in imports_of(tree):
            allowed = LIBRARIES.get(imported.split(".")[0], {package})
            assert package in allowed, f"{path} imports {imported}: allowed in {sorted(allowed)}"


def test_no_package_is_crowded() -> None:
    counts: dict[Path, int] = defaultdict(int)
    for path in MODULES:
        counts[path.parent] += path.name != "__init__.py"
    assert counts.pop(PACKAGE) <= MOST_AT_THE_TOP
    counts.pop(PACKAGE / "train")
    crowded = {str(folder): n for folder, n in counts.items() if n > MOST_IN_A_PACKAGE}
    assert crowded == {}


def test_no_two_public_classes_share_a_name() -> None:
    places = defaultdict(list)
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(name_of(path))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_the_package_list_names_every_package() -> None:
    listed = (PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8")
    for init in PACKAGE.rglob("__init__.py"):
        name = ".".join(init.parent.relative_to(PACKAGE.parent).parts)
        assert f'"{name}"' in listed


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for path in MODULES}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_modules_say_what_they_are_and_offer() -> None:
    for path, tree in TREES.items():
        if not tree.body:
            continue
        assert ast.get_docstring(tree), f"{path}: a module docstring says what it owns"
        assigned = chain.from_iterable(n.targets for n in tree.body if isinstance(n, ast.Assign))
        names = {target.id for target in assigned if isinstance(target, ast.Name)}
        if path.name not in ("__init__.py", "__main__.py"):
            assert "__all__" in names, f"{path} has no __all__"
