"""Large pictures are decoded at a fraction or refused by their header; all that breaks is one
sentence."""

import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowbound.data.pictures.decoding import open_picture
from knowbound.data.pictures.picture_files import read_files
from knowbound.data.preprocessing import Preprocessing
from tests.data.pictures.test_folder import RGB, png_header
from tests.data.pictures.test_picture_files import encoded, reason


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
