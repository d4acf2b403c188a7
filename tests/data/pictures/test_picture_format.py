"""What is no picture is called by its name, with what to do about it."""

import io
import re
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from knowbound.data.pictures.picture_files import UnreadableImageError, open_picture
from knowbound.data.pictures.picture_format import is_heic, name_format


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a", "b")
    return stream.getvalue()


def avif() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "AVIF")
    return stream.getvalue()


CASES = {
    b"%PDF-1.7\n": "^not a picture but a PDF document; export its pages",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:": "Git LFS, not the picture itself; "
    "run git lfs pull",
    b"<!DOCTYPE html>\n<html><body>404": "a web page, perhaps instead of a download that failed",
    b"\xef\xbb\xbf <HTML>": "a web page",
    b'<?xml version="1.0"?>\n<!-- made by x -->\n<svg xmlns=': "^not a picture but an SVG drawing",
    b"\0\0\0\x20ftypisom\0\0\2\0": "a film",
    b"\x1aE\xdf\xa3\x01": "a film",
    b"\xff\x0a\xfa": "^a JPEG XL picture; convert it",
    b"\x93NUMPY\x01\0": "a NumPy array",
    b"SIMPLE  =                    T": "^a FITS picture",
    bytes(128) + b"DICM": "^a DICOM picture",
    b'{"shapes": [1, 2]}': "a JSON file",
    b"[1, 2]": "a JSON file",
    b"plain words": r"^not a picture \(of no format that can be read\)$",
    b"\x89PNG\r\n\x1a\n": "^begins as a PNG, but its header is broken or cut off$",
    b"": "^not a picture",
}


@pytest.mark.parametrize("start", CASES, ids=lambda start: repr(start[:12]))
def test_files_of_all_kinds(start: bytes) -> None:
    assert re.search(CASES[start], name_format(start))
    assert "\n" not in name_format(start)


def test_an_archive_among_the_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(zipped())
    with pytest.raises(
        UnreadableImageError, match="^not a picture but a zip archive, or an office"
    ):
        open_picture(tmp_path / "a.png")


def test_heic_is_told_from_avif_and_films() -> None:
    assert is_heic(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert is_heic(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic")
    assert not is_heic(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf")
    assert not is_heic(avif()[:512])
    assert not is_heic(b"\0\0\0\x20ftypisom\0\0\2\0")
    assert not is_heic(b"")
