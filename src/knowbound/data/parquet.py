"""Parquet files: pictures out of a column, rows of verdicts into a table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from knowbound.data.pictures.names import printable
from knowbound.errors import UserError
from knowbound.files import sentence_for
from knowbound.values import JsonMapping, JsonObject

USUAL = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "webp", "bytes", "content")
"""Names of a column of pictures, the likeliest first."""
READ = 64
"""Pictures read at once."""
WRITTEN = 8192
"""Rows written at once."""


def picture_groups(path: Path, column: str | None = None) -> tuple[str, list[int]]:
    """The column that holds pictures, and the rows of each row group.

    A column of pictures is one of bytes, or of records with a field ``bytes``.  Of several the one
    with the likeliest name is taken, else the only one.

    Args:
        path: of the file.
        column: its name, where it is known.

    Raises:
        UserError: no Parquet file, or none or several columns that may hold pictures.
    """
    pq = _pyarrow(path).parquet
    with _said(path), pq.ParquetFile(path) as file:
        fields = [field for field in file.schema_arrow if _holds_bytes(field.type)]
        groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        every = list(file.schema_arrow.names)
    names = [field.name for field in fields]
    lower = {name.lower(): name for name in reversed(names)}
    usual = next((lower[name] for name in USUAL if name in lower), None)
    chosen = column or usual or (names[0] if len(names) == 1 else None)
    if chosen is None or chosen not in names:
        what = f"the column {column!r} holds no bytes" if column in every else "no column of bytes"
        if column is None and len(names) > 1:
            what = f"several columns of bytes ({', '.join(names)})"
        elif column is not None and column not in every:
            what = f"no column {column!r}"
        raise UserError(
            f"{printable(path)} has {what}, of the columns {printable(', '.join(every))}; name the "
            "one that holds pictures with --image-column"
        )
    return chosen, groups


def read_pictures(path: Path, column: str, groups: Sequence[int]) -> Iterator[bytes | None]:
    """The content of each picture of some row groups, in order; None where a row has none.

    A few are in memory at a time.

    Args:
        path: of the file.
        column: as ``picture_groups`` names it.
        groups: positions of the row groups.

    Raises:
        UserError: a damaged file.
    """
    pq = _pyarrow(path).parquet
    with _said(path), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(READ, row_groups=list(groups), columns=[column]):
            for value in batch.column(0).to_pylist():
                yield value["bytes"] if isinstance(value, dict) else value


@contextmanager
def parquet_table(
    path: Path, columns: Mapping[str, type]
) -> Iterator[Callable[[JsonMapping], None]]:
    """A function that writes rows, by the names of their columns.

    Args:
        path: of the file to write.
        columns: the type of each, ``float`` or ``str``; any value may be None.

    Raises:
        UserError: pyarrow is not installed.
    """
    pa = _pyarrow(path, "write .csv")
    kinds = {float: pa.float64(), str: pa.string()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
    waiting: list[JsonObject] = []
    with pa.parquet.ParquetWriter(str(path), schema) as writer:

        def flush() -> None:
            writer.write_table(pa.Table.from_pylist(waiting, schema=schema))
            waiting.clear()

        def write(row: JsonMapping) -> None:
            waiting.append({name: _utf8(value) for name, value in row.items()})
            if len(waiting) >= WRITTEN:
                flush()

        try:
            yield write
        finally:
            flush()


def check_parquet(path: Path) -> None:
    """Check, before there is anything to write, that a table can be.

    Args:
        path: of the table, for the error.

    Raises:
        UserError: pyarrow is not installed.
    """
    _pyarrow(path, "write .csv")


def join_parquet(parts: Sequence[Path], path: Path) -> None:
    """Write the rows of several tables of the same columns as one, a row group at a time.

    Args:
        parts: the tables, one at least, in order.
        path: of the table to write.
    """
    pq = _pyarrow(path).parquet
    with pq.ParquetWriter(str(path), pq.read_schema(parts[0])) as writer:
        for part in parts:
            with pq.ParquetFile(part) as file:
                for group in range(file.metadata.num_row_groups):
                    writer.write_table(file.read_row_group(group))


def read_rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[JsonObject]:
    """The rows of a table, in order, by the names of their columns.

    Args:
        path: of the table.
        columns: those that are wanted; None: all.
    """
    with _pyarrow(path).parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(WRITTEN, columns=columns):
            yield from batch.to_pylist()


def _pyarrow(path: Path, instead: str = "") -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(
            f"{printable(path)} needs pyarrow, which is not installed; pip install "
            f"'knowbound[parquet]'{f', or {instead}' if instead else ''}"
        ) from error
    return pyarrow


@contextmanager
def _said(path: Path) -> Iterator[None]:
    """A block whose errors, of pyarrow or the system, are one sentence."""
    try:
        yield
    except OSError as error:  # pyarrow's are too, without a number
        if error.errno:
            raise UserError(sentence_for(error, path, "read")) from error
        raise UserError(_damaged(path, error)) from error
    except ValueError as error:  # pyarrow.ArrowInvalid
        raise UserError(_damaged(path, error)) from error


def _damaged(path: Path, error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"{printable(path)} is not a whole Parquet file ({reason}); fetch it again"


def _holds_bytes(kind: Any) -> bool:
    """Whether a column's type is bytes, or a record with a field ``bytes`` of bytes."""
    names = [kind.field(i).name for i in range(kind.num_fields)]
    if "bytes" in names:
        kind = kind.field(names.index("bytes")).type
    return str(kind) in ("binary", "large_binary", "binary_view") or str(kind).startswith(
        "fixed_size_binary"
    )


def _utf8(value: Any) -> Any:
    """File names may hold bytes that are no UTF-8; they are shown as \\x.. escapes."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
