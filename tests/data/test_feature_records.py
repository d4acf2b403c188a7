"""The form of the files, read byte by byte."""

import hashlib
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from knowbound.data.feature_records import FileEnd, MemoryEnd, open_records, to_records

KEYS = [hashlib.sha256(name).digest() for name in (b"a", b"b", b"c")]
ROWS = np.array([[1.0, -2.5], [0.1, 60000.0], [3.0, 4.0]], dtype=np.float32)


@pytest.mark.parametrize(("scale", "name", "letter"), [(1, b"float16", "e"), (2, b"float32", "f")])
def test_bytes_of_a_file(tmp_path: Path, scale: int, name: bytes, letter: str) -> None:
    records = to_records(KEYS, scale * ROWS)
    end = FileEnd(tmp_path, records.dtype)
    end.append(records[:2])
    end.append(records[2:])
    np.testing.assert_array_equal(end.close(), records)
    content = end.path.read_bytes()
    assert content[:64] == (b"knowbound features 1 " + name + b" 2\n").ljust(64, b"\0")
    size = 32 + 4 + struct.calcsize(f"<2{letter}")
    for index, (key, row) in enumerate(zip(KEYS, scale * ROWS, strict=True)):
        record = content[64 + index * size : 64 + (index + 1) * size]
        numbers = struct.pack(f"<2{letter}", *row)
        assert record == key + struct.pack("<I", zlib.crc32(key + numbers)) + numbers
    assert len(content) == 64 + 3 * size


def test_memory_gives_what_a_file_gives(tmp_path: Path) -> None:
    records = to_records(KEYS, ROWS)
    ends = FileEnd(tmp_path, records.dtype), MemoryEnd(records.dtype)
    for end in ends:
        end.append(records[:1])
        end.append(records[1:])
    np.testing.assert_array_equal(*(end.close() for end in ends))


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks: always a file of its own")
def test_a_file_has_one_writer_at_a_time(tmp_path: Path) -> None:
    records = to_records(KEYS, ROWS)
    first, second = FileEnd(tmp_path, records.dtype), FileEnd(tmp_path, records.dtype)
    assert first.path != second.path
    first.close()
    assert FileEnd(tmp_path, records.dtype).path == first.path
    assert FileEnd(tmp_path, to_records(KEYS, 2 * ROWS).dtype).path not in (
        first.path,
        second.path,
    )


@pytest.mark.parametrize(
    "content", [b"", b"knowbound features 9 float16 2\n", b"knowbound features 1 int8 2\n", b"?"]
)
def test_other_files_are_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.rows").write_bytes(content.ljust(100, b"\0"))
    assert open_records(tmp_path / "x.rows") is None
    assert open_records(tmp_path / "gone.rows") is None
