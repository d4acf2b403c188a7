"""Long text in a PNG costs nothing of its picture."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from knowbound.data.pictures.picture_files import UnreadableImageError, open_picture
from knowbound.data.pictures.png_text import without_long_text

RGB = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
LONG = "words " * 400_000


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(*chunks: bytes, after: bytes = b"") -> bytes:
    """RGB turned by 90 degrees in its EXIF, with chunks of text before or after its pixels."""
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, "PNG", exif=exif)
    content = stream.getvalue()
    pixels, end = content.index(b"IDAT") - 4, content.index(b"IEND") - 4
    return content[:pixels] + b"".join(chunks) + content[pixels:end] + after + content[end:]


PACKED = zlib.compress(LONG.encode())
CASES = {
    "zTXt": chunk(b"zTXt", b"prompt\0\0" + PACKED),
    "iTXt": chunk(b"iTXt", b"prompt\0\x01\0en\0\0" + PACKED),
    "iCCP": chunk(b"iCCP", b"profile\0\0" + PACKED),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("after", [False, True])
def test_the_picture_is_read_and_turned(tmp_path: Path, name: str, after: bool) -> None:
    content = png(after=CASES[name]) if after else png(CASES[name])
    (tmp_path / "a.png").write_bytes(content)
    picture, remark = open_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(picture), np.rot90(RGB, -1))
    assert remark == ""


def test_a_megabyte_of_plain_text_as_people_save_it(tmp_path: Path) -> None:
    for packed in (False, True):
        info = PngInfo()
        for key in range(3):
            info.add_text(f"workflow {key}", LONG, zip=packed)
        Image.fromarray(RGB).save(tmp_path / "a.png", pnginfo=info)
        picture, _ = open_picture(tmp_path / "a.png")
        np.testing.assert_array_equal(np.asarray(picture), RGB)


def test_short_text_stays_and_other_files_are_left_alone() -> None:
    short = png(chunk(b"tEXt", b"Comment\0short"))
    assert without_long_text(short) is None
    assert without_long_text(b"no PNG") is None
    both = png(chunk(b"tEXt", b"Comment\0short"), CASES["zTXt"])
    assert without_long_text(both) == short


def test_a_broken_png_with_long_text_is_still_broken(tmp_path: Path) -> None:
    content = png(CASES["zTXt"])
    (tmp_path / "a.png").write_bytes(content[: content.index(b"IDAT") + 20])
    with pytest.raises(UnreadableImageError):
        open_picture(tmp_path / "a.png")
