"""TIFF files that Pillow has no mode for give the values that were written, in every layout."""

import io
import itertools
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from knowbound.data.pictures.picture_files import read_files
from knowbound.data.pictures.tiff_values import UnknownTiffError, read_header, read_values
from knowbound.data.preprocessing import Preprocessing

RNG = np.random.default_rng(0)
FORMATS = {"u": 1, "i": 2, "f": 3}


def write_tiff(
    values: NDArray[np.generic],
    *,
    order: str = "<",
    compression: int = 1,
    planar: int = 1,
    rows: int = 5,
    predictor: int = 1,
    more: dict[int, tuple[int, ...]] | None = None,
) -> bytes:
    """(H, W, B) values as a TIFF of strips; written by hand, tag by tag."""
    height, width, bands = values.shape
    stored = values.astype(values.dtype.newbyteorder(order))  # type: ignore[call-overload]
    planes = [stored[..., k : k + 1] for k in range(bands)] if planar == 2 else [stored]
    strips = []
    for plane in planes:
        for top in range(0, height, rows):
            strip = plane[top : top + rows]
            if predictor == 2:
                native = strip.astype(values.dtype).view(f"u{values.dtype.itemsize}")
                difference = native.copy()
                difference[:, 1:] -= native[:, :-1]
                strip = difference.astype(difference.dtype.newbyteorder(order))
            content = np.ascontiguousarray(strip).tobytes()
            strips.append(zlib.compress(content) if compression == 8 else content)
    offsets = list(itertools.accumulate([8, *map(len, strips)]))
    tags = {
        256: (width,),
        257: (height,),
        258: (values.dtype.itemsize * 8,) * bands,
        259: (compression,),
        262: (1,),
        273: tuple(offsets[:-1]),
        277: (bands,),
        278: (rows,),
        279: tuple(map(len, strips)),
        284: (planar,),
        317: (predictor,),
        339: (FORMATS[values.dtype.kind],) * bands,
        **(more or {}),
    }
    body = b"".join(strips)
    directory, far, place = b"", b"", offsets[-1] + 2 + 12 * len(tags) + 4
    for tag, numbers in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(packed) > 4:
            inline, far = struct.pack(f"{order}I", place + len(far)), far + packed
        else:
            inline = packed
        directory += struct.pack(f"{order}HHI", tag, 4, len(numbers)) + inline
    mark = b"II*\0" if order == "<" else b"MM\0*"
    head = mark + struct.pack(f"{order}I", offsets[-1])
    return head + body + struct.pack(f"{order}H", len(tags)) + directory + bytes(4) + far


def read(content: bytes) -> tuple[NDArray[np.generic], str]:
    file = io.BytesIO(content)
    return read_values(file, read_header(file))


def made(dtype: str, bands: int) -> NDArray[np.generic]:
    return (RNG.random((12, 9, bands)) * 200 - (0 if dtype[0] == "u" else 100)).astype(dtype)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "f2", "f4", "f8"])
@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("planar", [1, 2])
def test_values_come_as_they_were_written(
    dtype: str, bands: int, order: str, compression: int, planar: int
) -> None:
    values = made(dtype, bands)
    found, remark = read(write_tiff(values, order=order, compression=compression, planar=planar))
    np.testing.assert_array_equal(found, values)
    assert found.dtype == np.dtype(dtype)
    assert remark == ""


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2"])
@pytest.mark.parametrize("order", "<>")
def test_differences_are_summed(dtype: str, order: str) -> None:
    values = made(dtype, 3)
    found, _ = read(write_tiff(values, order=order, compression=8, predictor=2))
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_deflate"])
@pytest.mark.parametrize("kind", ["noise", "flat", "steps"])
def test_compressions_as_another_library_writes_them(compression: str, kind: str) -> None:
    flat = np.full((90, 110), 7, np.uint8)
    steps = (np.arange(90 * 110) // 50 % 256).astype(np.uint8).reshape(90, 110)
    noise = RNG.integers(0, 256, (90, 110), dtype=np.uint8)
    values = {"noise": noise, "flat": flat, "steps": steps}[kind]
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "TIFF", compression=compression)
    found, _ = read(stream.getvalue())
    np.testing.assert_array_equal(found[..., 0], values)


@pytest.mark.parametrize(
    ("bands", "extra", "taken", "words"),
    [
        (2, (), 1, "has 2 bands: only its first is used, as grey"),
        (2, (2,), 2, ""),
        (4, (2,), 4, ""),
        (4, (0,), 3, "has 4 bands: only its first 3 are used, as red, green and blue"),
        (7, (), 3, "has 7 bands: only its first 3 are used, as red, green and blue"),
        (6, (2, 0, 0), 4, "has 6 bands: the others are left out"),
    ],
)
def test_bands(bands: int, extra: tuple[int, ...], taken: int, words: str) -> None:
    values = made("u2", bands)
    found, remark = read(write_tiff(values, more={338: extra} if extra else {}))
    np.testing.assert_array_equal(found, values[..., :taken])
    assert remark == words


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation(orientation: int) -> None:
    values = made("f4", 3)
    turned, _ = read(write_tiff(values, more={274: (orientation,)}))
    as_pillow = {
        1: values,
        2: values[:, ::-1],
        3: np.rot90(values, 2),
        4: values[::-1],
        5: np.rot90(values[:, ::-1], 1),
        6: np.rot90(values, -1),
        7: np.rot90(values[:, ::-1], -1),
        8: np.rot90(values, 1),
    }
    np.testing.assert_array_equal(turned, as_pillow[orientation])


def test_what_is_broken_or_unknown_is_said(tmp_path: Path) -> None:
    with pytest.raises(EOFError):
        read(write_tiff(made("f4", 3), more={279: (10**6,) * 3}))
    with pytest.raises(UnknownTiffError, match="3 bands in compression 7"):
        read(write_tiff(made("f4", 3), more={259: (7,)}))
    (tmp_path / "a.tif").write_bytes(write_tiff(made("f4", 3), more={259: (7,)}))
    ((_, image, words),) = read_files([tmp_path / "a.tif"], Preprocessing(4, 4, 3, range=(0, 1)))
    assert image is None
    assert words.startswith("a TIFF of a kind that is not read (3 bands in compression 7); save")


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_of_such_files_becomes_images(tmp_path: Path, channels: int) -> None:
    values = RNG.random((8, 6, 3)).astype(np.float32)
    (tmp_path / "float.tif").write_bytes(write_tiff(values))
    ((_, image, words),) = read_files(
        [tmp_path / "float.tif"], Preprocessing(8, 6, channels, range=(0, 1))
    )
    assert words == ""
    assert image is not None
    colours = np.round(values.astype(np.float64) * 255).astype(np.uint8)
    if channels == 3:
        np.testing.assert_array_equal(image, colours.transpose(2, 0, 1))
    else:
        luma = colours @ np.array([0.299, 0.587, 0.114])
        assert np.abs(image[0] - luma).max() <= 1
    ((_, image, words),) = read_files([tmp_path / "float.tif"], Preprocessing(8, 6, 3))
    assert image is None
    assert words.startswith("floating-point pixels in 0.0")


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    content = write_tiff(made("f4", 3), more={256: (60_000,), 257: (60_000,), 278: (60_000,)})
    (tmp_path / "a.tif").write_bytes(content)
    ((_, image, words),) = read_files([tmp_path / "a.tif"], Preprocessing(8, 6, 3, range=(0, 1)))
    assert image is None
    assert "too large: its header says 60000 x 60000" in words
