"""Verdicts for files: one row for each, whatever is wrong with it, written as it comes."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from knowbound.boundary.boundary import BATCH, Boundary
from knowbound.data.pictures.folder import list_files, read_files
from knowbound.errors import UserError
from knowbound.files import cannot_write


@dataclass(frozen=True, slots=True)
class Prediction:
    """The row of one file.  ``error`` is empty, or says why the file has no verdict (then the other
    columns are None)."""

    path: str
    verdict: str | None
    class_name: str | None
    """The class of a known image."""
    nearest_class: str | None
    score: float | None
    threshold: float | None
    error: str
    remark: str = ""
    """What to know about a file that was read all the same, such as an animation of which the first
    frame was used."""


COLUMNS = {
    field.name: "class" if field.name == "class_name" else field.name
    for field in fields(Prediction)
}


def find_inputs(inputs: Sequence[str | Path]) -> list[Path]:
    """The files named, and every file at any depth of the folders named.  Raises UserError for what
    does not exist."""
    found: list[Path] = []
    for given in map(Path, inputs):
        if given.is_dir():
            inside = list_files(given)
            if not inside:
                raise UserError(f"{given} is an empty folder; expected pictures in it")
            found += inside
        elif given.exists() or given.is_symlink():
            found.append(given)
        else:
            raise UserError(f"{given} does not exist; expected a picture, or a folder of pictures")
    return found


def predict_files(
    boundary: Boundary, paths: Sequence[Path], *, decoders: int | None = None
) -> Iterator[Prediction]:
    """A row for each file, in order.  Decoding and judging go on batch by batch, so memory does not
    grow with the files.

    decoders: threads that decode, by default one for each core up to 8.
    """
    files = read_files(paths, boundary.preprocessing, workers=decoders)
    while batch := list(islice(files, BATCH)):
        images = [image for _, image, _ in batch if image is not None]
        verdicts = iter(boundary.verdicts(boundary.judge(np.stack(images))) if images else ())
        for path, image, remark in batch:
            if image is None:
                yield Prediction(str(path), None, None, None, None, None, error=remark)
                continue
            verdict = next(verdicts)
            yield Prediction(
                str(path),
                str(verdict.decision),
                verdict.class_name,
                verdict.nearest_class,
                verdict.score,
                verdict.threshold,
                error="",
                remark=remark,
            )


class Writer(Protocol):
    """Takes rows one by one."""

    def __call__(self, row: Prediction, /) -> None: ...


@contextmanager
def prediction_writer(path: Path) -> Iterator[Writer]:
    """A function that writes rows to a .csv, .jsonl or .parquet file; rows already written stay if
    the run ends early.

    Raises UserError for another ending, and where the file cannot be written.
    """
    openers = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
    if path.suffix not in openers:
        raise UserError(
            f"{path} ends in {path.suffix or 'nothing'!r}; expected {', '.join(openers)}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with openers[path.suffix](path) as write:
            yield write
    except OSError as error:
        raise UserError(cannot_write(path, error)) from error


def _named(row: Prediction) -> dict[str, Any]:
    return {COLUMNS[name]: value for name, value in asdict(row).items()}


@contextmanager
def _csv(path: Path) -> Iterator[Writer]:
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        table = csv.DictWriter(file, COLUMNS.values())
        table.writeheader()
        yield lambda row: table.writerow(_named(row))


@contextmanager
def _jsonl(path: Path) -> Iterator[Writer]:
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        yield lambda row: _write_line(file, _named(row))


def _write_line(file: IO[str], values: dict[str, Any]) -> None:
    file.write(json.dumps(values, ensure_ascii=False) + "\n")


@contextmanager
def _parquet(path: Path) -> Iterator[Writer]:
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter
    except ImportError as error:
        raise UserError(
            f"{path} needs pyarrow, which is not installed; pip install 'knowbound[parquet]', or "
            "write .csv"
        ) from error
    numbers = {"score", "threshold"}
    schema = pa.schema(
        [(name, pa.float64() if name in numbers else pa.string()) for name in COLUMNS.values()]
    )
    waiting: list[dict[str, Any]] = []
    with ParquetWriter(str(path), schema) as writer:

        def flush() -> None:
            safe = [{k: _utf8(v) for k, v in row.items()} for row in waiting]
            writer.write_table(pa.Table.from_pylist(safe, schema=schema))
            waiting.clear()

        def write(row: Prediction) -> None:
            waiting.append(_named(row))
            if len(waiting) >= 8192:
                flush()

        try:
            yield write
        finally:
            flush()


def _utf8(value: Any) -> Any:
    """File names may hold bytes that are no UTF-8; they are shown as \\x.. escapes."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def count_verdicts(rows: Iterable[Prediction]) -> dict[str, int]:
    """How many files were called known, novelty and anomaly, and how many could not be read
    (``error``)."""
    counts = {"known": 0, "novelty": 0, "anomaly": 0, "error": 0}
    for row in rows:
        counts[row.verdict or "error"] += 1
    return counts
