"""The range and background that "auto" becomes are those of the folder's values."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from knowbound.data.pictures.folder import read_folder
from knowbound.data.pictures.picture_lists import list_pictures
from knowbound.data.pictures.value_range import measure_values, settle
from knowbound.data.preprocessing import Preprocessing
from knowbound.errors import UserError
from tests.data.pictures.test_wide_colour import wide_png

RNG = np.random.default_rng(0)
AUTO = Preprocessing(16, 16, 1, range="auto", background="auto")


def save(folder: Path, *pictures: NDArray[np.generic] | Image.Image) -> Path:
    folder.mkdir(exist_ok=True)
    for index, picture in enumerate(pictures):
        made = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        made.save(folder / f"{index}.tif")
    return folder


def noise(low: float, high: float, dtype: str = "u2") -> NDArray[np.generic]:
    """Values spread over the whole of low to high."""
    values = RNG.random((16, 16)) * (high - low) + low
    values.flat[:64], values.flat[64:128] = low, high
    return values.astype(dtype)


@pytest.mark.parametrize(
    ("low", "high", "dtype", "expected"),
    [
        (0, 250, "u2", (0, 255)),
        (3, 1000, "u2", (0, 1023)),
        (0, 4095, "u2", (0, 4095)),
        (100, 2100, "u2", (0, 4095)),
        (0, 16000, "u2", (0, 16383)),
        (5, 65000, "u2", (0, 65535)),
        (29_000, 31_000, "u2", (29_000, 31_000)),  # degrees of a thermal camera
        (0, 500_000, "i4", (0, 500_000)),
        (-200, 300, "i4", (-200, 300)),
        (0.0, 0.9, "f4", (0, 1)),
        (0.0, 250.0, "f4", (0, 255)),
        (-1.0, 1.0, "f4", (-1, 1)),
        (0.001, 0.002, "f4", (np.float32(0.001), np.float32(0.002))),
    ],
)
def test_the_usual_range_that_holds_the_values_or_their_own(
    tmp_path: Path, low: float, high: float, dtype: str, expected: tuple[float, float]
) -> None:
    folder = save(tmp_path / "set", *(noise(low, high, dtype) for _ in range(3)))
    values = measure_values(list_pictures(folder, classes=False))
    assert values.range == pytest.approx(expected)
    assert (values.pictures, values.wide, values.transparent) == (3, 3, 0)


def test_a_hot_pixel_does_not_count(tmp_path: Path) -> None:
    picture = np.tile(noise(0, 4095), (10, 10))
    picture[5, 5] = 65535
    values = measure_values(list_pictures(save(tmp_path / "set", picture), classes=False))
    assert values.range == (0, 4095)


def test_all_pictures_count_and_not_one(tmp_path: Path) -> None:
    folder = save(tmp_path / "set", noise(0, 900), noise(0, 4000), noise(200, 300))
    assert measure_values(list_pictures(folder, classes=False)).range == (0, 4095)


def test_eight_bits_need_no_range(tmp_path: Path) -> None:
    folder = save(tmp_path / "set", RNG.integers(0, 256, (8, 8), dtype=np.uint8))
    (folder / "broken.png").write_bytes(b"x")
    listing = list_pictures(folder, classes=False)
    assert measure_values(listing).range == "full"
    assert settle(AUTO, listing) == Preprocessing(16, 16, 1, "full", "white")


def test_colours_of_16_bits_are_measured_whole(tmp_path: Path) -> None:
    values = RNG.integers(0, 4096, (16, 16, 3)).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(wide_png(values))
    assert measure_values(list_pictures(tmp_path, classes=False)).range == (0, 4095)


def drawing(ink: int) -> Image.Image:
    """A disc of ink on nothing."""
    rows, columns = np.mgrid[0:32, 0:32]
    disc = (rows - 16) ** 2 + (columns - 16) ** 2 < 100
    grey = np.full((32, 32), ink, np.uint8)
    return Image.fromarray(np.dstack([grey, grey, grey, (disc * 255).astype(np.uint8)]))


@pytest.mark.parametrize(("ink", "background"), [(255, "black"), (0, "white"), (230, "black")])
def test_the_background_is_the_one_with_contrast(tmp_path: Path, ink: int, background: str) -> None:
    folder = save(tmp_path / "set", *(drawing(ink) for _ in range(4)))
    values = measure_values(list_pictures(folder, classes=False))
    assert values.transparent == 4
    assert values.background == background
    slow = [
        np.asarray(
            Image.alpha_composite(Image.new("RGBA", (32, 32), under), drawing(ink)).convert("L")
        ).std()
        for under in ("white", "black")
    ]
    assert (values.on_white, values.on_black) == pytest.approx(slow)


def test_what_is_given_is_not_measured(tmp_path: Path) -> None:
    folder = save(tmp_path / "set", drawing(255))
    listing = list_pictures(folder, classes=False)
    given = Preprocessing(8, 8, 1, (0, 7), "white")
    assert settle(given, listing) is given
    half = Preprocessing(8, 8, 1, "auto", "white")
    assert settle(half, listing) == Preprocessing(8, 8, 1, "full", "white")


def test_a_folder_is_not_read_before_it_is_measured(tmp_path: Path) -> None:
    folder = save(tmp_path / "set", noise(0, 4095), noise(0, 4095))
    with pytest.raises(UserError, match="still to be measured"):
        read_folder(folder, AUTO, classes=False)
    read = read_folder(folder, settle(AUTO, list_pictures(folder, classes=False)), classes=False)
    assert read.problems == ()
    assert len(np.unique(read.source.images(slice(None)))) > 100
