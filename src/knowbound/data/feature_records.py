"""Records of features in files: the key of a picture, a checksum, the row.

A file is a header of 64 bytes that says how the numbers are kept, and records of one length.
Records are only ever appended, by one process at a time, so what a killed process had written stays
valid.
"""

import os
import sys
import uuid
import zlib
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

import numpy as np

from knowbound.values import Array, DType

KEY = 32
"""Bytes of a picture's key, a SHA-256."""
FILE_LIMIT = 64 << 20
"""Bytes after which a further file is begun; a file is the least that is removed."""
MAGIC, HEADER = b"knowbound features 1", 64


def to_records(pictures: Sequence[bytes], rows: Array) -> Array:
    """Rows (B, F) as records, in float16, or in float32 where float16 cannot hold one of them."""
    rows = np.asarray(rows, dtype=np.float32)
    fits = bool(np.all(np.abs(rows) <= np.finfo(np.float16).max))
    records = np.empty(len(pictures), dtype=_kind("float16" if fits else "float32", rows.shape[1]))
    records["row"] = rows
    for record, picture in zip(records, pictures, strict=True):
        record["picture"] = np.frombuffer(picture, dtype=np.uint8)
        record["checksum"] = checksum(picture, record["row"])
    return records


def _kind(numbers: str, width: int) -> DType:
    little = np.dtype(numbers).newbyteorder("<")
    return np.dtype([("picture", np.uint8, (KEY,)), ("checksum", "<u4"), ("row", little, (width,))])


def checksum(picture: bytes, row: Array) -> int:
    """CRC-32 of a key and its row."""
    return zlib.crc32(row.tobytes(), zlib.crc32(picture))


def _header(kind: DType) -> bytes:
    row = kind["row"]
    text = MAGIC + f" {row.base.newbyteorder('=').name} {row.shape[0]}\n".encode()
    return text.ljust(HEADER, b"\0")


def _whole(size: int, kind: DType) -> int:
    """Whole records in a file of ``size`` bytes."""
    return max(0, size - HEADER) // kind.itemsize


def width_of(records: Array) -> int:
    """F."""
    return int(records.dtype["row"].shape[0])


def open_records(path: Path) -> Array | None:
    """The whole records of a file; None for one that is gone or has no header of this version."""
    try:
        with FileIO(path) as file:
            header = file.read(HEADER).split(b"\n")[0]
            size = file.seek(0, os.SEEK_END)
            numbers, width = header.removeprefix(MAGIC).decode().split()
            if not header.startswith(MAGIC) or numbers not in ("float16", "float32"):
                return None
            kind = _kind(numbers, int(width))
            return _mapped(file, kind, _whole(size, kind))
    except (OSError, ValueError):
        return None


def _mapped(file: FileIO, kind: DType, count: int) -> Array:
    if count == 0:
        return np.empty(0, dtype=kind)
    mapped: Array = np.memmap(
        file,
        dtype=kind,
        mode="r",
        offset=HEADER,
        shape=(count,),
    )
    return mapped


def _locked(file: FileIO) -> bool:
    """Whether this process alone may append to the file from now on; a killed one lets go of it.

    Where a system has no such locks, every call begins a file of its own.
    """
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class FileEnd:
    """The end of a file that no other process appends to."""

    def __init__(self, folder: Path, kind: DType) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.kind = kind
        self.path, self.file = _unfinished(folder, kind) or _begun(folder, kind)
        self.count = _whole(self.file.seek(0, os.SEEK_END), kind)
        self.file.seek(HEADER + self.count * kind.itemsize)
        self.file.truncate()  # what a killed process had begun

    def append(self, records: Array) -> None:
        """Write the records: after this they outlive the process."""
        rest = memoryview(records.tobytes())
        while rest:
            rest = rest[self.file.write(rest) :]
        self.count += len(records)

    def full(self) -> bool:
        """Whether another file should be begun."""
        return self.count * self.kind.itemsize >= FILE_LIMIT

    def close(self) -> Array:
        """All records of the file, also of one that another process has just removed."""
        with self.file as file:
            return _mapped(file, self.kind, self.count)


def _unfinished(folder: Path, kind: DType) -> tuple[Path, FileIO] | None:
    """A file of such records that can take more and that no process appends to."""
    for path in sorted(folder.glob("*.rows")):
        records = open_records(path)
        if records is not None and records.dtype == kind and records.nbytes < FILE_LIMIT:
            file = FileIO(path, "r+b")
            if _locked(file):
                return path, file
            file.close()
    return None


def _begun(folder: Path, kind: DType) -> tuple[Path, FileIO]:
    """A new file, with its header."""
    path = folder / f"{uuid.uuid4().hex}.rows"
    file = FileIO(path, "x+b")
    _locked(file)
    file.write(_header(kind))
    return path, file


class MemoryEnd:
    """Records that cannot be written; in memory, with what a ``FileEnd`` has."""

    def __init__(self, kind: DType) -> None:
        self.kind, self.parts, self.count = kind, [np.empty(0, dtype=kind)], 0

    def append(self, records: Array) -> None:
        """Keep the records while the process lives."""
        self.parts.append(records)
        self.count += len(records)

    def full(self) -> bool:
        """Never."""
        return False

    def close(self) -> Array:
        """All records."""
        return np.concatenate(self.parts)
