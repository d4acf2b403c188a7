"""Tables of verdicts: written row by row, joined, counted."""

import contextlib
import csv
import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from knowbound.data.parquet import check_parquet, join_parquet, parquet_table, read_rows
from knowbound.errors import UserError
from knowbound.files import cannot_write, ending
from knowbound.files.own_output import check_overwrite
from knowbound.values import JsonObject
from knowbound.workflows.predict import COLUMNS, NUMBERS, Prediction


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
    check_ending(path)
    check_overwrite(path, overwrite, inputs)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with OPENERS[path.suffix](path) as write:
            yield write
    except OSError as error:
        raise UserError(cannot_write(path, error)) from error


def _csv_lines(file: IO[str]) -> Iterator[Writer]:
    table = csv.writer(file)
    table.writerow(COLUMNS)
    yield lambda row: table.writerow(row.cells())


@contextmanager
def _csv(path: Path) -> Iterator[Writer]:
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        yield from _csv_lines(file)


@contextmanager
def _jsonl(path: Path) -> Iterator[Writer]:
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        yield lambda row: _write_line(file, row.row())


def _write_line(file: IO[str], values: JsonObject) -> None:
    file.write(json.dumps(values, ensure_ascii=False) + "\n")


@contextmanager
def _parquet(path: Path) -> Iterator[Writer]:
    columns = {name: float if name in NUMBERS else str for name in COLUMNS}
    with parquet_table(path, columns) as write:
        yield lambda row: write(row.row())


OPENERS = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
"""By the endings of tables."""


def check_ending(path: Path) -> None:
    """Check that the name of a table says its format.

    Args:
        path: of the table.

    Raises:
        UserError: a folder, another ending, or one whose package is missing.
    """
    ending.check_ending(path, tuple(OPENERS), besides="or -")
    if path.suffix == ".parquet":
        check_parquet(path)


def write_table(
    rows: Iterable[Prediction], path: Path, on_row: Callable[[int], None] | None = None
) -> int:
    """Write rows as a table, which is there whole or not at all.

    Args:
        rows: of pictures.
        path: of the table; one that is there is replaced.
        on_row: called with 1 after every row.

    Returns:
        How many rows.

    Raises:
        UserError: it cannot be written.
    """
    temporary = path.with_name(f".{path.stem[:40]}.{secrets.token_hex(4)}.partial{path.suffix}")
    count = 0
    try:
        with table_writer(temporary) as write:
            for row in rows:
                write(row)
                count += 1
                if on_row:
                    on_row(1)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(cannot_write(path, error)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return count


def join_tables(parts: Sequence[Path], path: Path) -> None:
    """Put the rows of several tables into one, which a reader sees whole or not at all.

    Args:
        parts: the tables, one at least, in order, of one format.
        path: of the table, of the same format.

    Raises:
        UserError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.partial")
    try:
        if path.suffix == ".parquet":
            join_parquet(parts, temporary)
        else:
            _join_lines(parts, temporary, heading=path.suffix == ".csv")
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(cannot_write(path, error)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _join_lines(parts: Sequence[Path], path: Path, *, heading: bool) -> None:
    with path.open("xb") as file:
        for number, part in enumerate(parts):
            with part.open("rb") as rows:
                if heading and number:
                    rows.readline()
                shutil.copyfileobj(rows, file, 1 << 20)
        file.flush()
        os.fsync(file.fileno())


def read_table(path: Path) -> Iterator[Prediction]:
    """The rows of a table that ``table_writer`` wrote, in order.

    Args:
        path: of a .csv, .jsonl or .parquet table.
    """
    if path.suffix == ".parquet":
        yield from map(Prediction.of_row, read_rows(path))
    elif path.suffix == ".jsonl":
        with path.open("rb") as file:
            yield from (Prediction.of_row(json.loads(line)) for line in file)
    else:
        with path.open(newline="", encoding="utf-8") as rows:
            yield from map(Prediction.of_row, csv.DictReader(rows))


def read_decisions(path: Path) -> Iterator[str]:
    """What each row of a table says, in order: a word of ``Decision``, or "" without a verdict.

    Nothing else of a row is looked at, so it takes a tenth of the time of ``read_table``.

    Args:
        path: of a .csv, .jsonl or .parquet table.
    """
    if path.suffix == ".parquet":
        yield from (row["verdict"] or "" for row in read_rows(path, ["verdict"]))
    elif path.suffix == ".jsonl":
        with path.open("rb") as file:
            yield from (json.loads(line)["verdict"] or "" for line in file)
    else:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            column = next(rows).index("verdict")
            yield from (row[column] for row in rows)
