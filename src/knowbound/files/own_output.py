"""Which files this program made: an output never replaces any other unasked."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from knowbound.errors import UserError
from knowbound.files.replacing import cannot_write

EDGE = 65_536
"""Bytes at the beginning and the end of a file in which its mark is looked for."""
GENERATOR = "knowbound"
"""What HTML, PNG, SVG, PDF and Parquet files of ours name as their generator or creator."""
MARKS: Mapping[str, Sequence[bytes]] = {
    ".csv": (b"path,", b",verdict,"),
    ".jsonl": (b'{"', b'"path": |"experiment": ', b'"verdict": |"auroc": '),
    ".parquet": (b"PAR1", b"verdict", b"nearest_class"),
    ".json": (b"{", b'"format": "knowbound'),
    ".html": (b"<!doctype html>", b'<meta name="generator" content="knowbound'),
    ".svg": (b"<", b"knowbound"),
    ".png": (b"\x89PNG", b"knowbound"),
    ".pdf": (b"%PDF", b"knowbound"),
    ".onnx": (b"", b"knowbound"),
    ".safetensors": (b"", b'"format":"knowbound'),
}
"""By the ending: how a file of ours begins, and words near its beginning or end; "|" parts words of
which one is enough."""


def check_overwrite(path: Path, overwrite: bool = False, inputs: Iterable[Path] = ()) -> None:
    """Raises UserError where writing ``path`` would take something from the user.

    Args:
        path: the file to be written.
        overwrite: replace a file that is not ours, too.
        inputs: files that are read for it; none of them is ever replaced.

    Raises:
        UserError: where ``path`` is one of the inputs, a folder, or, without ``overwrite``, a file
            that holds something and is no output of this program (``is_output``).
    """
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder; give the name of a file to write")
        if any(_is_same(path, given) for given in inputs):
            raise UserError(f"{path} is an input as well; give the output a name of its own")
        if path.is_file() and path.stat().st_size and not (overwrite or is_output(path)):
            raise UserError(
                f"{path} is there already, and not an output of knowbound; give another name, or "
                "replace it with --overwrite"
            )
    except OSError as error:
        raise UserError(cannot_write(path, error)) from error


def is_output(path: Path) -> bool:
    """Whether a file is an output of this program, by how it begins and the words in it
    (``MARKS``).

    Raises:
        OSError: where it cannot be read.
    """
    marks = MARKS.get(path.suffix.lower())
    if marks is None:
        return False
    with path.open("rb") as file:
        edges = file.read(EDGE)
        file.seek(max(len(edges), path.stat().st_size - EDGE))
        edges += file.read(EDGE)
    beginning, *words = marks
    return edges.removeprefix(b"\xef\xbb\xbf").startswith(beginning) and all(
        any(word in edges for word in choice.split(b"|")) for choice in words
    )


def _is_same(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.samefile(other)
