"""Verdicts for files: one row for each, whatever is wrong with it, written as it comes."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from knowbound.data.pictures.picture_files import read_files
from knowbound.data.pictures.picture_lists import list_files, read_list
from knowbound.data.pictures.problems import Problem
from knowbound.data.preprocessing import Preprocessing
from knowbound.errors import UserError
from knowbound.false_discovery import check_fdr, verdicts_at_fdr
from knowbound.files import cannot_write
from knowbound.judgement import Judgement, Verdict
from knowbound.own_output import check_overwrite


@dataclass(frozen=True, slots=True)
class Prediction:
    """The row of one file: what was said of its picture, or why nothing could be."""

    path: str
    verdict: Verdict | None
    """None where the file could not be read."""
    error: str = ""
    """Why the file has no verdict; empty where it has one."""
    remark: str = ""
    """What to know about a file that was read all the same, such as an animation of which the
    first frame was used."""

    def row(self) -> dict[str, str | float | None]:
        """The columns of the table, by name."""
        said = asdict(self.verdict) if self.verdict else dict.fromkeys(_SAID)
        renamed = {_RENAMED.get(name, name): value for name, value in said.items()}
        return {"path": self.path, **renamed, "error": self.error, "remark": self.remark}


_SAID = tuple(field.name for field in fields(Verdict))
_RENAMED = {"decision": "verdict", "class_name": "class"}
COLUMNS = ("path", *(_RENAMED.get(name, name) for name in _SAID), "error", "remark")
"""Of the table: those of a ``Verdict`` between the path and what went wrong."""
NUMBERS = tuple(field.name for field in fields(Verdict) if field.type is float)
"""The columns that hold numbers."""


BATCH = 512
"""Pictures decoded and judged together."""


class Judge(Protocol):
    """What judges images: a ``Boundary``, or a model that was exported."""

    @property
    def preprocessing(self) -> Preprocessing:
        """How a picture becomes an image of the network's shape."""

    @property
    def domain_threshold(self) -> float:
        """An unknown image is an anomaly if its domain score is above."""

    def judge(self, images: NDArray[np.uint8], /) -> Judgement[Any]:
        """What is said of images.

        Args:
            images: (N, C, H, W) uint8 in the model's own shape.
        """

    def verdicts(self, judgement: Judgement[Any], /) -> list[Verdict]:
        """The judgement in words.

        Args:
            judgement: of N images.

        Returns:
            A verdict for each image.
        """


@dataclass(frozen=True, eq=False)
class Inputs:
    """The files to judge, in order, and what could not be used of the lists that name them."""

    files: list[Path]
    problems: tuple[Problem, ...] = ()


def find_inputs(inputs: Sequence[str | Path]) -> Inputs:
    """The pictures named, every file at any depth of the folders named, and every picture that the
    lists among them name.

    Raises:
        UserError: something does not exist, or a folder is empty.
    """
    found: list[Path] = []
    problems: list[Problem] = []
    for given in map(Path, inputs):
        if given.is_dir():
            inside = list_files(given)
            if not inside:
                raise UserError(f"{given} is an empty folder; expected pictures in it")
            found += inside
        elif given.suffix.lower() in LISTS:
            listing = read_list(given)
            found += listing.files
            problems += listing.problems
        elif given.exists() or given.is_symlink():
            found.append(given)
        else:
            raise UserError(
                f"{given} does not exist; expected a picture, a folder of pictures, or a list"
            )
    return Inputs(found, tuple(problems))


def predict_files(
    boundary: Judge,
    paths: Sequence[Path],
    *,
    decoders: int | None = None,
    fdr: float | None = None,
) -> Iterator[Prediction]:
    """A row for each file, in order.

    Decoding and judging go on batch by batch, so memory does not grow with the files.  With ``fdr``
    the rows of all files are kept, and the first comes when the last file has been judged.

    Args:
        boundary: a calibrated one, or an exported model.
        paths: of the files.
        decoders: threads that decode, by default one for each core up to 8.
        fdr: decide on all files together, so that on average at most this share of those called
            unknown are known ones; None: each by the model's threshold.

    Returns:
        A prediction of each, also of a file that cannot be read.

    Raises:
        UserError: an ``fdr`` that is no share.
    """
    rows = _judged(boundary, paths, decoders)
    if fdr is None:
        return rows
    check_fdr(fdr)
    return _together(rows, fdr, boundary.domain_threshold)


def _together(
    rows: Iterable[Prediction], fdr: float, domain_threshold: float
) -> Iterator[Prediction]:
    kept = list(rows)
    said = verdicts_at_fdr([r.verdict for r in kept if r.verdict], fdr, domain_threshold)
    decided = iter(said)
    for row in kept:
        yield replace(row, verdict=next(decided)) if row.verdict else row


def _judged(boundary: Judge, paths: Sequence[Path], decoders: int | None) -> Iterator[Prediction]:
    files = read_files(paths, boundary.preprocessing, workers=decoders)
    while batch := list(islice(files, BATCH)):
        images = [image for _, image, _ in batch if image is not None]
        verdicts = iter(boundary.verdicts(boundary.judge(np.stack(images))) if images else ())
        for path, image, remark in batch:
            if image is None:
                yield Prediction(str(path), None, error=remark)
            else:
                yield Prediction(str(path), next(verdicts), remark=remark)


LISTS = (".csv", ".tsv", ".txt", ".lst")
"""Endings of lists of pictures."""


class Writer(Protocol):
    """Takes rows one by one."""

    def __call__(self, row: Prediction, /) -> None: ...


@contextmanager
def table_writer(
    path: Path, *, overwrite: bool = False, inputs: Iterable[Path] = ()
) -> Iterator[Writer]:
    """A function that writes rows to a .csv, .jsonl or .parquet file, or as CSV to standard output
    where the path is ``-``; rows already written stay if the run ends early.

    Args:
        path: of the table.
        overwrite: whether a file that this program did not make may be replaced.
        inputs: files that are read; none of them is ever replaced.

    Raises:
        UserError: another ending, a file that is there, or a place that cannot be written.
    """
    if path == Path("-"):
        yield from _csv_lines(sys.stdout)
        return
    openers = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
    if path.suffix not in openers:
        expected = ", ".join(openers)
        raise UserError(f"{path} ends in {path.suffix or 'nothing'!r}; expected {expected}, or -")
    check_overwrite(path, overwrite, inputs)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with openers[path.suffix](path) as write:
            yield write
    except OSError as error:
        raise UserError(cannot_write(path, error)) from error


def _csv_lines(file: IO[str]) -> Iterator[Writer]:
    table = csv.DictWriter(file, COLUMNS)
    table.writeheader()
    yield lambda row: table.writerow(row.row())


@contextmanager
def _csv(path: Path) -> Iterator[Writer]:
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        yield from _csv_lines(file)


@contextmanager
def _jsonl(path: Path) -> Iterator[Writer]:
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        yield lambda row: _write_line(file, row.row())


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
    schema = pa.schema(
        [(name, pa.float64() if name in NUMBERS else pa.string()) for name in COLUMNS]
    )
    waiting: list[dict[str, Any]] = []
    with ParquetWriter(str(path), schema) as writer:

        def flush() -> None:
            safe = [{k: _utf8(v) for k, v in row.items()} for row in waiting]
            writer.write_table(pa.Table.from_pylist(safe, schema=schema))
            waiting.clear()

        def write(row: Prediction) -> None:
            waiting.append(row.row())
            if len(waiting) >= 8192:
                flush()

        try:
            yield write
        finally:
            flush()


def _utf8(value: Any) -> Any:
    """File names may hold bytes that are no UTF-8; they are shown as \\x.. escapes."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


class Counted:
    """Counts verdicts as rows pass, and says them in words."""

    def __init__(self) -> None:
        self.counts = {"known": 0, "novelty": 0, "anomaly": 0, "error": 0}

    def __call__(self, rows: Iterable[Prediction]) -> Iterator[Prediction]:
        """The rows as they come."""
        for row in rows:
            self.counts[str(row.verdict.decision) if row.verdict else "error"] += 1
            yield row

    def __str__(self) -> str:
        known, novelties, anomalies, errors = self.counts.values()
        summary = f"{known} known, {novelties} novelties, {anomalies} anomalies"
        unreadable = f", {errors} that could not be read" if errors else ""
        return f"{sum(self.counts.values())} files: {summary}{unreadable}"
