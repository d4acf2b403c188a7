"""What is said of a picture that is read all the same: its name, its frames, how it is turned."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowbound.data.pictures.decoding import open_picture
from knowbound.data.pictures.picture_files import read_files
from knowbound.data.preprocessing import Preprocessing
from tests.data.pictures.test_folder import RGB

SHAPE = Preprocessing(8, 8, 3)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_used(tmp_path: Path, kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), (value, 0, 0)) for value in (200, 100, 10)]
    options = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(tmp_path / "a", kind, save_all=True, append_images=frames[1:], **options)
    picture, remark = open_picture(tmp_path / "a")
    assert remark == "animated: only its first of 3 frames is used"
    assert picture.convert("RGB").getpixel((4, 4)) == (200, 0, 0)


def test_two_remarks_stand_in_one_line(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(
        tmp_path / "a.jpg", "GIF", save_all=True, append_images=[Image.new("L", (8, 8), 9)]
    )
    assert (
        open_picture(tmp_path / "a.jpg")[1]
        == "named .jpg but holds a GIF; animated: only its first of 2 frames is used"
    )


def test_pages_and_names(tmp_path: Path) -> None:
    page = Image.fromarray(RGB)
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page])
    assert open_picture(tmp_path / "a.tif")[1] == "has 2 pages: only its first is used"
    for name, kind, remark in (
        ("a.jpg", "PNG", "named .jpg but holds a PNG"),
        ("b.PNG", "JPEG", "named .PNG but holds a JPEG"),
        ("c.JPEG", "JPEG", ""),
        ("d", "PNG", ""),
        ("e.dat", "PNG", ""),
    ):
        page.save(tmp_path / name, kind)
        assert open_picture(tmp_path / name)[1] == remark


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_applied_once(
    tmp_path: Path, kind: str, orientation: int
) -> None:
    array = np.zeros((32, 48, 3), np.uint8)
    array[:16, :24] = (255, 0, 0)
    array[:16, 24:] = (0, 255, 0)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(array).save(tmp_path / "a", kind, exif=exif)
    turns = {
        1: array,
        2: array[:, ::-1],
        3: array[::-1, ::-1],
        4: array[::-1],
        5: array.transpose(1, 0, 2),
    }
    turns |= {6: np.rot90(array, -1), 7: np.rot90(array, 2).transpose(1, 0, 2), 8: np.rot90(array)}
    expected = turns[orientation]
    ((_, image, _),) = read_files([tmp_path / "a"], Preprocessing(*expected.shape[:2], 3))
    assert image is not None
    assert (
        np.abs(image.transpose(1, 2, 0).astype(int) - expected).mean() < 8
    )  # JPEG smears the colour edges


def chunk(kind: bytes, content: bytes) -> bytes:
    """A part of a PNG."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def exif_of(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


PROFILE = f"\nexif\n{len(exif_of(6)):8}\n{exif_of(6).hex()}\n".encode()
XMP = b'<x:xmpmeta tiff:Orientation="6"/>'


@pytest.mark.parametrize("last", [False, True], ids=["before the pixels", "behind the pixels"])
@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (b"eXIf", exif_of(6).removeprefix(b"Exif\0\0")),
        (b"tEXt", b"Raw profile type exif\0" + PROFILE),
        (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(PROFILE)),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
    ],
    ids=["EXIF", "profile", "packed profile", "XMP"],
)
def test_a_png_is_turned_wherever_it_says_so(
    kind: bytes, content: bytes, last: bool, tmp_path: Path
) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    plain = (tmp_path / "a.png").read_bytes()
    place = plain.index(b"IEND" if last else b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(plain[:place] + chunk(kind, content) + plain[place:])
    picture, remark = open_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(picture), np.rot90(RGB, -1))
    assert remark == ""


def test_broken_exif_costs_a_remark_and_not_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Image.Exif, data: bytes) -> None:
        raise SyntaxError("not a TIFF file")

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    monkeypatch.setattr(Image.Exif, "load", fail)
    ((_, image, remark),) = read_files([tmp_path / "a.png"], SHAPE)
    assert remark == "its EXIF data are broken: it may stand on its side"
    np.testing.assert_array_equal(image, RGB.transpose(2, 0, 1))
