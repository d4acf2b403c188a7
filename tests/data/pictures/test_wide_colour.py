"""Colours of 16 bits are read whole where a range is given."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from knowbound.data.pictures.decoding import decode
from knowbound.data.pictures.picture_files import read_files
from knowbound.data.preprocessing import Preprocessing, Range

RNG = np.random.default_rng(0)
KINDS = {1: 0, 2: 4, 3: 2, 4: 6}
"""Bands -> PNG's kind of colour."""


def wide_png(
    values: NDArray[np.uint16], exif: bytes = b"", transparent: tuple[int, ...] = ()
) -> bytes:
    """(H, W, B) values as a PNG of 16 bits, written by hand."""
    height, width, bands = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 16, KINDS[bands], 0, 0, 0),
        b"eXIf": exif,
        b"tRNS": np.array(transparent, dtype=">u2").tobytes(),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
        if data or name == b"IEND"
    )


@pytest.mark.parametrize("bands", KINDS)
def test_every_bit_is_read(tmp_path: Path, bands: int) -> None:
    values = RNG.integers(0, 65536, (7, 5, bands)).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(wide_png(values))
    found, size, remark = decode(tmp_path / "a.png", wide=True)
    np.testing.assert_array_equal(np.asarray(found).reshape(values.shape), values)
    assert (size, remark) == ((7, 5), "")


def test_a_turned_picture_is_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    values = RNG.integers(0, 65536, (7, 5, 3)).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(wide_png(values, exif.tobytes().removeprefix(b"Exif\0\0")))
    found, size, _ = decode(tmp_path / "a.png", wide=True)
    np.testing.assert_array_equal(found, np.rot90(values, -1))
    assert size == (5, 7)


def test_twelve_bits_in_sixteen_are_whole_in_their_range(tmp_path: Path) -> None:
    values = RNG.integers(0, 4096, (8, 8, 3)).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(wide_png(values))
    images = [
        next(read_files([tmp_path / "a.png"], Preprocessing(8, 8, 3, range=r)))[1]
        for r in ("full", (0, 4095))
    ]
    assert images[0] is not None
    assert images[1] is not None
    np.testing.assert_array_equal(images[0], (values >> 8).transpose(2, 0, 1))
    np.testing.assert_array_equal(
        images[1], np.round(values / 4095 * 255).astype(np.uint8).transpose(2, 0, 1)
    )


@pytest.mark.parametrize("value_range", ["full", (0, 65535)])
@pytest.mark.parametrize("key", [(0,), (60000,), (0, 0, 0), (60000, 300, 70)])
def test_a_colour_that_stands_for_transparent_is_laid_over_the_background(
    key: tuple[int, ...], value_range: Range, tmp_path: Path
) -> None:
    values = np.full((6, 5, len(key)), 30000, dtype=np.uint16)
    values[2, 3] = key
    (tmp_path / "a.png").write_bytes(wide_png(values, transparent=key))
    shape = Preprocessing(6, 5, 3, range=value_range, background="white")
    ((_, image, words),) = read_files([tmp_path / "a.png"], shape)
    assert image is not None, words
    assert image[:, 2, 3].tolist() == [255, 255, 255]
    assert image[:, 0, 0].tolist() == [117, 117, 117]
