"""The rules of docs/architecture.md, read from the source: floors, circles, third parties, lines."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "knowbound"
FLOORS: tuple[set[str], ...] = (
    {
        *{"labels", "names", "errors", "files", "evidence", "judgement", "result"},
        "model_folder",
        *{"provenance", "outputs", "_version", "memory", "values"},
    },
    {"data", "backbones", "objectives", "detectors", "metrics"},
    {"training", "ccag", "boundary", "report"},
    {"building", "judging", "experiment"},
    {"workflows", "product", "paper"},
    {"cli", "__init__", "__main__"},
)
"""Words, parts, joints, top joints, uses, face: a room imports rooms of lower floors, and itself."""
WORDS = FLOORS[0]
NEIGHBOURS = {
    ("ccag", "training"),
    ("experiment", "building"),
    ("experiment", "judging"),
    ("product", "workflows"),
    ("__main__", "cli"),
}
"""The only rooms that may import another one of their own floor; words may import words."""
ONE_FILE_ONLY = {
    "accelerate": "training/processes.py",
    "faiss": "detectors/k_nearest.py",
    "fastapi": "product/serving/app.py",
    "jinja2": "report/page.py",
    "markupsafe": "report/page.py",
    "matplotlib": "report/drawing.py",
    "pillow_heif": "data/pictures/heic.py",
    "plotly": "report/page.py",
    "pooch": "data/sets/download.py",
    "prometheus_client": "product/serving/metrics.py",
    "pyarrow": "data/parquet.py",
    "pytorch_metric_learning": "objectives/metric_learning.py",
    "ray": "product/ray_data.py",
    "requests": "data/sets/download.py",
    "urllib3": "data/sets/download.py",
    "uvicorn": "product/serving/server.py",
}
"""Third parties that are imported in one file, inside the functions that need them."""
DISTRIBUTIONS = {
    "PIL": "pillow",
    "faiss": "faiss-cpu",
    "pillow_heif": "pillow-heif",
    "prometheus_client": "prometheus-client",
    "pytorch_metric_learning": "pytorch-metric-learning",
    "sklearn": "scikit-learn",
}
"""Distributions that are not called like what is imported from them."""
PROBES: set[tuple[str, str]] = set()
"""The only places that ask an object of others what it has."""


class Import(NamedTuple):
    """A module that a file imports."""

    module: str
    name: str
    """What is imported from it; empty where the module itself is."""
    typing: bool
    """Whether only a type checker sees it."""
    lazy: bool
    """Whether it is imported inside a function."""


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def place(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor(name: str) -> int:
    for number, rooms in enumerate(FLOORS):
        if name in rooms:
            return number
    raise AssertionError(f"{name} has no floor yet; give it one here and in docs/architecture.md")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> tuple[Import, ...]:
    """Everything the file imports, wherever it stands in it."""
    return tuple(_imports(tree(path), typing=False, lazy=False))


def _imports(node: ast.AST, typing: bool, lazy: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, "", typing, lazy) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute here"
        yield from (Import(str(node.module), alias.name, typing, lazy) for alias in node.names)
    elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        for child in node.body:
            yield from _imports(child, True, lazy)
        for child in node.orelse:
            yield from _imports(child, typing, lazy)
    else:
        inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.iter_child_nodes(node):
            yield from _imports(child, typing, inside)


def own_imports(path: Path) -> Iterator[tuple[str, Import]]:
    """(room, import) of everything of this package that the file imports."""
    for one in imports(path):
        first, *rest = one.module.split(".")
        if first == "knowbound":
            yield (rest[0] if rest else one.name), one


def test_every_root_module_is_named() -> None:
    at_root = {path.stem for path in PACKAGE.glob("*.py")}
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert at_root | folders == set().union(*FLOORS)


@pytest.mark.parametrize("path", files(), ids=place)
def test_imports_go_downwards(path: Path) -> None:
    here = room(path)
    for there, one in own_imports(path):
        if there == here or {there, here} <= WORDS or (here, there) in NEIGHBOURS:
            continue
        assert floor(there) < floor(here), f"{place(path)} imports {one.module}.{one.name}"


def test_the_product_uses_prediction_alone_of_the_workflows() -> None:
    for path in files():
        if room(path) == "product":
            found = {one.module for there, one in own_imports(path) if there == "workflows"}
            allowed = {"knowbound.workflows.predict", "knowbound.workflows.kept_parts"}
            assert found <= allowed, place(path)


def file_of(one: Import) -> Path | None:
    """The file that is read when this is imported; None for a face, which imports its whole room."""
    for module in (f"{one.module}.{one.name}", one.module):
        path = PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
        if path.exists() and path.stem != "__init__":
            return path
    return None


def test_no_circle_of_files() -> None:
    edges = {
        path: {
            found
            for _, one in own_imports(path)
            if not one.typing and (found := file_of(one)) and found != path
        }
        for path in files()
        if path.stem != "__init__"
    }
    done: set[Path] = set()

    def visit(path: Path, way: tuple[Path, ...]) -> None:
        assert path not in way, " -> ".join(map(place, (*way, path)))
        if path not in done:
            for other in sorted(edges[path]):
                visit(other, (*way, path))
            done.add(path)

    for path in edges:
        visit(path, ())


@pytest.mark.parametrize("library", sorted(ONE_FILE_ONLY))
def test_a_third_party_is_imported_in_one_file_and_only_when_needed(library: str) -> None:
    found = {
        (place(path), one.lazy or one.typing)
        for path in files()
        for one in imports(path)
        if one.module.split(".")[0] == library
    }
    assert found == {(ONE_FILE_ONLY[library], True)}


def declared() -> tuple[set[str], set[str]]:
    """(distributions that are there for training, those of another extra).

    Training needs the extra ``train``; what needs no torch is held by ``test_onnx``.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[^A-Za-z0-9_.-]", one)[0].lower() for one in requirements}

    extras = project["optional-dependencies"]
    used = {name: names(value) for name, value in extras.items() if name not in ("dev", "bench")}
    always = names(project["dependencies"]) | used.pop("train")
    return always, set().union(*used.values())


def test_every_third_party_is_declared() -> None:
    always, extra = declared()
    for path in files():
        for one in imports(path):
            library = one.module.split(".")[0]
            if library == "knowbound" or library in sys.stdlib_module_names:
                continue
            distribution = DISTRIBUTIONS.get(library, library).lower()
            assert distribution in always | extra, f"{place(path)} imports {library}"
            if distribution not in always:
                assert one.lazy or one.typing, f"{place(path)} needs {library}, an extra"


def test_words_metrics_and_report_know_no_torch() -> None:
    for path in files():
        if room(path) in WORDS | {"metrics", "report"}:
            for one in imports(path):
                assert one.typing or one.module.split(".")[0] != "torch", place(path)


@pytest.mark.parametrize(
    "words",
    [
        "import knowbound",
        "import knowbound.cli",
        "import knowbound.cli.app",
        "import knowbound.metrics, knowbound.result, knowbound.names, knowbound.report",
    ],
)
def test_import_needs_no_torch(words: str) -> None:
    check = f"import sys; {words}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_nothing_from_a_file_is_executed() -> None:
    for path in files():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert called not in ("eval", "exec", "pickle.load", "pickle.loads"), place(path)
                assert given.get("allow_pickle", "False") == "False", place(path)
                if called == "torch.load":
                    assert given.get("weights_only") == "True", place(path)


def test_no_object_is_asked_what_it_can_do() -> None:
    """Abilities are declared as data: no ``hasattr``, no default for ``getattr``, no signature."""
    found = set()
    for path in files():
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            probing = called == "getattr" and len(node.args) > 2
            if probing or called in ("hasattr", "inspect.signature", "signature"):
                found.add((place(path), called))
    assert found == PROBES


def test_lines_are_short() -> None:
    lines = [line for path in files() for line in path.read_text(encoding="utf-8").splitlines()]
    long = sum(len(line) > 100 for line in lines)
    assert long < 0.01 * len(lines)


def functions(node: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef]:
    """Public functions and methods, without properties and overloads."""
    for child in node.body:
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from functions(child)
        elif isinstance(child, ast.FunctionDef) and not child.name.startswith("_"):
            marks = {ast.unparse(mark) for mark in child.decorator_list}
            if not marks & {"property", "cached_property", "overload"}:
                yield child


def test_public_functions_say_what_they_take_give_and_raise() -> None:
    words = [ast.get_docstring(one) for path in files() for one in functions(tree(path))]
    assert all(words)
    sections = re.compile(r"^(Args|Returns|Raises|Yields):$", re.MULTILINE)
    told = sum(bool(sections.search(text or "")) for text in words)
    assert told > 0.65 * len(words)
