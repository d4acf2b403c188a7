"""Single picture files: every reason and remark, and no trace of Pillow's own warnings."""

import io
import os
import re
import struct
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowbound.data.pictures.picture_files import (
    UnreadableImageError,
    in_order,
    open_picture,
    read_files,
)
from knowbound.data.preprocessing import Preprocessing
from tests.data.pictures.test_folder import RGB, png_header

SHAPE = Preprocessing(8, 8, 3)


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def reason(path: Path, **options: int) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        open_picture(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "limit", [100_000_000, 300_000_000]
)  # on both sides of the limits Pillow itself has
@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (100_000, 90_000)])
def test_the_limit_is_ours_and_judged_by_the_header(
    tmp_path: Path, limit: int, width: int, height: int
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(width, height))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said = reason(path, max_pixels=limit)
    assert (
        f"{width} x {height} = {width * height} pixels, over the limit of {limit}: perhaps a "
        "decompression bomb" in said
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "^empty: the file has 0 bytes$"),
        (b"plain text, nothing else, longer than sixteen bytes", "^not a picture"),
        (b"\x89PNG\r\n\x1a\n" + bytes(4), "^begins as a PNG, but its header is broken or cut off$"),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
            "^not a picture",
        ),  # and Ghostscript never runs
    ],
)
def test_reasons(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "file.png").write_bytes(content)
    assert re.search(words, reason(tmp_path / "file.png"))


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (
            Image.new("F", (4, 4), 0.25),
            r"^floating-point pixels in 0\.25\.\.0\.25, .* --range auto",
        ),
        (Image.new("I", (4, 4), 70_000), r"^integer pixels in 70000\.\.70000, beyond 16 bits"),
        (Image.new("I", (4, 4), -3), r"^integer pixels in -3\.\.-3, beyond 16 bits"),
    ],
)
def test_values_of_no_known_range(tmp_path: Path, picture: Image.Image, words: str) -> None:
    picture.save(tmp_path / "a.tif")
    ((_, image, said),) = read_files([tmp_path / "a.tif"], SHAPE)
    assert image is None
    assert re.search(words, said)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_whatever_is_cut_off_anywhere_is_refused_in_one_sentence(tmp_path: Path, kind: str) -> None:
    whole = encoded(Image.fromarray(np.tile(RGB, (16, 16, 1))), kind)
    for share in (0.01, 0.2, 0.5, 0.8):
        (tmp_path / "cut").write_bytes(whole[: max(1, int(share * len(whole)))])
        reason(tmp_path / "cut")


@pytest.mark.parametrize(
    "error",
    [
        struct.error("x"),
        SyntaxError("x"),
        MemoryError(),
        OverflowError("x"),
        ZeroDivisionError("x"),
    ],
)
def test_whatever_pillow_raises_becomes_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_: object) -> None:
        raise error

    Image.fromarray(RGB).save(tmp_path / "a.bmp")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    assert reason(tmp_path / "a.bmp").startswith("cannot be decoded: ")


def test_no_permission_and_things_that_are_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "pipe" in reason(tmp_path / "pipe")  # opening it would wait for ever
    Image.fromarray(RGB).save(tmp_path / "a.png")

    def refuse(self: Path, mode: str) -> None:  # chmod would not stop root
        raise PermissionError(13, "denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert reason(tmp_path / "a.png") == "no permission to read it"


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


def test_a_large_turned_jpeg_decoded_small_is_as_the_slow_way(tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:640, 0:900]
    array = np.dstack([rows * 255 // 640, columns * 255 // 900, (rows + columns) % 256]).astype(
        np.uint8
    )
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.fromarray(array).save(tmp_path / "a.jpg", quality=95, exif=exif)
    small, _ = open_picture(tmp_path / "a.jpg", shrink_to=(100, 150))
    assert 300 <= min(small.size) < 640  # shrunk, and never below twice the larger side asked for
    ((_, image, _),) = read_files([tmp_path / "a.jpg"], Preprocessing(20, 30, 3))
    with Image.open(tmp_path / "a.jpg") as picture:
        slow = Preprocessing(20, 30, 3)(picture)
    assert image is not None
    assert np.abs(image.astype(int) - slow).mean() < 2


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


def test_pillow_warns_nobody_and_the_filters_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(20):  # converting such palettes to grey or RGB makes Pillow warn
        picture = Image.fromarray(RGB).quantize(8)
        picture.save(tmp_path / f"{index}.png", transparency=bytes(range(8)))
    convert = Image.Image.convert

    def warning(self: Image.Image, *args: object, **options: object) -> Image.Image:
        warnings.warn_explicit("of Pillow", UserWarning, "Image.py", 1, module="PIL.Image")
        return convert(self, *args, **options)

    monkeypatch.setattr(Image.Image, "convert", warning)
    paths = sorted(tmp_path.iterdir())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        assert all(image is not None for _, image, _ in read_files(paths * 5, SHAPE, workers=8))
        assert warnings.filters == before
        assert not caught
        warning(Image.new("L", (1, 1)), "L")
        assert len(caught) == 1


def test_the_look_ahead_is_bounded_and_the_order_kept() -> None:
    begun: list[int] = []

    def items() -> Iterator[int]:
        for item in range(500):
            begun.append(item)
            yield item

    def function(item: int) -> int:
        threading.Event().wait(0.0005 * (item % 3))
        return item * item

    results = in_order(function, items(), workers=2)
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert len(begun) <= 5 + 4 * 2
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 5 + 4 * 2
    assert list(in_order(function, range(50), workers=4)) == [i * i for i in range(50)]


def test_reading_is_lazy(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    rows: Iterator[object] = read_files([tmp_path / "a.png"] * 3, SHAPE)
    assert len([next(rows), next(rows)]) == 2


def large_jpeg(path: Path, width: int, height: int, **options: object) -> None:
    """A picture of few bytes whose four quarters differ."""
    picture = Image.new("L", (width, height))
    for index, level in enumerate((10, 90, 170, 250)):
        left, top = index % 2 * width // 2, index // 2 * height // 2
        picture.paste(level, (left, top, left + width // 2, top + height // 2))
    picture.save(path, "JPEG", **options)


@pytest.mark.parametrize(
    ("width", "height", "limit", "progressive"),
    [(12_000, 9000, 100_000_000, False), (1200, 900, 1_000_000, True)],
)
def test_a_jpeg_of_more_than_the_limit_is_read_at_a_fraction(
    tmp_path: Path, width: int, height: int, limit: int, progressive: bool
) -> None:
    large_jpeg(tmp_path / "phone.jpg", width, height, progressive=progressive)
    shape = Preprocessing(8, 8, 1)
    ((_, image, remark),) = read_files([tmp_path / "phone.jpg"], shape, max_pixels=limit)
    assert remark == ""
    assert image is not None
    corners = image[0, ::7, ::7].astype(int)
    assert np.abs(corners - [[10, 90], [170, 250]]).max() <= 2
    said = reason(tmp_path / "phone.jpg", max_pixels=limit)
    assert f"{width} x {height} = {width * height} pixels, over the limit of {limit}" in said


def test_a_jpeg_beyond_four_times_the_limit_is_refused_and_the_limit_can_be_raised(
    tmp_path: Path,
) -> None:
    large_jpeg(tmp_path / "a.jpg", 400, 300)
    ((_, image, said),) = read_files(
        [tmp_path / "a.jpg"], Preprocessing(2, 2, 1), max_pixels=29_999
    )
    assert image is None
    assert "400 x 300 = 120000 pixels, over the limit of 119996" in said
    assert said.endswith("; allow more with --max-pixels if you trust it")
    ((_, image, said),) = read_files(
        [tmp_path / "a.jpg"], Preprocessing(2, 2, 1), max_pixels=30_000
    )
    assert image is not None


@pytest.mark.parametrize(
    ("side", "target", "decoded"),
    [(1600, 100, 200), (1599, 100, 400), (800, 100, 200), (799, 100, 400), (399, 100, 399)],
)
def test_a_jpeg_is_decoded_at_the_smallest_fraction_that_is_twice_the_target(
    tmp_path: Path, side: int, target: int, decoded: int
) -> None:
    Image.new("L", (side, side)).save(tmp_path / "a.jpg")
    picture, _ = open_picture(tmp_path / "a.jpg", shrink_to=(target, target // 2))
    assert picture.size == (decoded, decoded)
