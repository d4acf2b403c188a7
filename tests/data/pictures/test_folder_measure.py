"""The size and colour of a folder's pictures, from some of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowbound.data.pictures.folder_measure import measure_folder
from knowbound.errors import UserError
from tests.data.pictures.test_folder import GREY, RGB
from tests.data.pictures.test_tiff_values import write_tiff


def test_measuring_tells_size_and_colour(tmp_path: Path) -> None:
    for index, side in enumerate((10, 20, 30)):
        Image.fromarray(GREY).resize((side, 2 * side)).convert("RGB").save(
            tmp_path / f"{index}.jpg"
        )
    assert measure_folder(tmp_path, classes=False) == ((40, 20), False)
    Image.fromarray(RGB).save(tmp_path / "colour.png")
    assert measure_folder(tmp_path, classes=False)[1]


def test_camera_noise_in_grey_is_no_colour(tmp_path: Path) -> None:
    noisy = np.dstack([GREY, GREY, np.clip(GREY.astype(int) + 5, 0, 255).astype(np.uint8)])
    Image.fromarray(noisy).save(tmp_path / "grey.png")
    assert not measure_folder(tmp_path, classes=False)[1]


@pytest.mark.parametrize(
    ("step", "pixels", "colour"),
    [(13, 2048, True), (12, 4096, False), (200, 42, True), (200, 40, False)],
)
def test_colour_is_more_than_a_hundredth_of_the_pixels_far_from_grey(
    tmp_path: Path, step: int, pixels: int, colour: bool
) -> None:
    flat = np.full((64 * 64, 3), 50, np.uint8)  # 1 % of the pixels are 40.96
    flat[:pixels, 0] += step
    Image.fromarray(flat.reshape(64, 64, 3)).save(tmp_path / "a.png")
    assert measure_folder(tmp_path, classes=False)[1] is colour


def test_measuring_turns_jpegs_and_keeps_their_true_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (1200, 900)).save(
        tmp_path / "turned.jpg", exif=exif
    )  # decoded at an eighth, and upright 1200 high
    assert measure_folder(tmp_path, classes=False) == ((1200, 900), False)


def test_measuring_finds_the_one_readable_picture_outside_its_sample(tmp_path: Path) -> None:
    for index in range(9):
        (tmp_path / f"{index}.txt").write_text("x")
    with pytest.raises(UserError, match="none of the files .*0.txt: not a picture"):
        measure_folder(tmp_path, classes=False, sample=2)
    Image.fromarray(RGB).save(tmp_path / "5.png")
    assert measure_folder(tmp_path, classes=False, sample=2) == ((8, 8), True)


@pytest.mark.parametrize("grey", [True, False])
def test_floating_point_numbers_are_measured_whatever_their_range(
    grey: bool, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).random((40, 30, 3)).astype(np.float32) * 7 - 2
    if grey:
        values[:] = values[..., :1]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "float.tif").write_bytes(write_tiff(values))
    assert measure_folder(tmp_path, classes=True) == ((40, 30), not grey)
