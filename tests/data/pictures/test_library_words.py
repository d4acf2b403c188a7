"""What libraries say reaches the reason or the remark of the file, and never the terminal."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowbound.data.pictures.library_words import overheard
from knowbound.data.pictures.picture_files import read_files
from knowbound.data.preprocessing import Preprocessing

SHAPE = Preprocessing(8, 8, 1)
NOISE = np.random.default_rng(0).integers(0, 256, (300, 300), dtype=np.uint8)


def broken_tiff(compression: str, seed: int) -> bytes:
    """A TIFF with some bytes of its picture changed."""
    picture = Image.fromarray(NOISE)
    stream = io.BytesIO()
    mode = "1" if compression == "group4" else "L"
    picture.convert(mode).save(stream, "TIFF", compression=compression)
    content = bytearray(stream.getvalue())
    for place in np.random.default_rng(seed).integers(8, len(content) - 400, 12):
        content[place] ^= 0x55
    return bytes(content)


def write(folder: Path, count: int = 8) -> list[Path]:
    files = []
    for index in range(count):
        for compression in ("tiff_deflate", "tiff_lzw", "group4"):
            path = folder / f"{compression}_{index}.tif"
            path.write_bytes(broken_tiff(compression, index))
            files.append(path)
    return files


def test_no_line_reaches_the_terminal_and_each_is_in_its_files_words(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = write(tmp_path) * 3
    rows = list(read_files(files, SHAPE, workers=6))
    assert capfd.readouterr().err == ""
    for path, image, words in rows:
        if "deflate" in path.name:
            assert image is None
            assert words.startswith("cannot be decoded: ZIPDecode: Decoding error at scanline ")
        if "group4" in path.name and image is not None:
            assert words.startswith("damaged in part: Fax4Decode: ")
            assert "%" not in words
    assert any("group4" in path.name and image is not None for path, image, _ in rows)
    again = {path: words for path, _, words in read_files(files, SHAPE, workers=1)}
    assert all(again[path] == words for path, _, words in rows)


def test_a_good_picture_has_no_words_beside_broken_ones(tmp_path: Path) -> None:
    Image.fromarray(NOISE).save(tmp_path / "good.tif", compression="tiff_deflate")
    files = [file for broken in write(tmp_path) for file in (broken, tmp_path / "good.tif")]
    for path, image, words in read_files(files, SHAPE, workers=6):
        if path.name == "good.tif":
            assert words == ""
            assert image is not None


def test_pillows_log_records_are_kept_and_not_printed() -> None:
    script = (
        "import logging\n"
        "from knowbound.data.pictures.library_words import overheard\n"
        "with overheard() as words:\n"
        "    logging.getLogger('PIL.TiffImagePlugin').error('More samples than %d', 3)\n"
        "print(words)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "['More samples than 3']\n"
    assert run.stderr == ""


def test_blocks_keep_their_own_words() -> None:
    import logging

    logger = logging.getLogger("PIL.Image")
    with overheard() as outer:
        logger.warning("one")
        with overheard() as inner:
            logger.warning("two")
        logger.warning("three")
    assert (outer, inner) == (["one", "three"], ["two"])
