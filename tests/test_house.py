"""The import rule of docs/architecture.md, read from the source."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "knowbound"
WORDS = {"labels", "result", "errors", "files", "file_set", "lock", "own_output", ""}
PARTS = {
    "data",
    "backbones",
    "objectives",
    "detectors",
    "metrics",
    "checkpoint",
    "pace",
    "processes",
}
JOINTS = {"training", "ccag", "boundary", "boundary_file", "report"}
NEIGHBOURS = {
    "boundary": {"boundary_file"},
    "boundary_file": {"boundary"},
    "ccag": {"training"},
    "__main__": {"cli"},
}
"""The only joints of the lower floor that may import another one, and the face's own."""
TOP_JOINTS = {"comparison", "experiment", "fitting", "evaluation", "prediction", "tuning"}
USES = {"paper", "product", "demo"}
FACE = {"cli", "__init__", "__main__"}
ONE_FILE_ONLY = {
    "plotly",
    "matplotlib",
    "pooch",
    "pyarrow",
    "accelerate",
    "jinja2",
    "faiss",
    "pillow_heif",
}


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path, *, top_level: bool = False) -> set[str]:
    """Absolute module names imported anywhere in the file, or only where importing the file imports
    them too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree)) if not top_level else list(tree.body)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def rooms_imported(path: Path) -> set[str]:
    own = {
        name.removeprefix("knowbound").removeprefix(".")
        for name in imports(path)
        if name.split(".")[0] == "knowbound"
    }
    return {name.split(".")[0] for name in own}


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_downwards(path: Path) -> None:
    here = room(path)
    allowed = {here} | WORDS
    if here in WORDS:
        allowed = WORDS
    elif here in JOINTS:
        allowed |= PARTS | NEIGHBOURS.get(here, set())
    elif here in TOP_JOINTS or here in USES:
        allowed |= PARTS | JOINTS | TOP_JOINTS
    elif here in FACE:
        allowed |= PARTS | JOINTS | TOP_JOINTS | USES | NEIGHBOURS.get(here, set())
    else:
        assert here in PARTS, (
            f"{here} has no floor yet; give it one here and in docs/architecture.md"
        )
    assert rooms_imported(path) <= allowed


@pytest.mark.parametrize("library", sorted(ONE_FILE_ONLY))
def test_some_third_parties_are_imported_lazily(library: str) -> None:
    for path in files():
        assert library not in {name.split(".")[0] for name in imports(path, top_level=True)}, path


def test_metrics_and_report_know_no_torch() -> None:
    for path in files():
        if room(path) in {"metrics", "report", "labels", "result"}:
            assert "torch" not in {name.split(".")[0] for name in imports(path)}, path


@pytest.mark.parametrize(
    "words",
    ["import knowbound", "import knowbound.cli", "import knowbound.metrics, knowbound.result"],
)
def test_import_needs_no_torch(words: str) -> None:
    check = f"import sys; {words}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_nothing_from_a_file_is_executed() -> None:
    """One file may read a pickle, by torch's reader of nothing but tensors: the ImageNet weights of
    a package are published as one."""
    for path in files():
        for call in ("torch.load(", "pickle.load(", "allow_pickle=True", "eval(", "exec("):
            text = path.read_text(encoding="utf-8").replace(".eval()", "")
            if path == PACKAGE / "backbones" / "efficientnet_lite.py":
                text = text.replace("torch.load(io.BytesIO(content), weights_only=True)", "")
            assert call not in text, f"{path} has {call}"
