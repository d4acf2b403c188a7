"""The memory that reading takes is told before anything is decoded."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowbound.data.pictures.memory_gate import GATE
from knowbound.data.pictures.picture_lists import list_pictures
from knowbound.data.pictures.reading_estimate import estimate_reading
from knowbound.data.preprocessing import Preprocessing
from knowbound.errors import UserError
from tests.data.pictures.test_folder import png_header


def save(root: Path, count: int, side: int = 8) -> Path:
    root.mkdir(exist_ok=True)
    for index in range(count):
        Image.new("L", (side, side)).save(root / f"{index}.png")
    return root


def test_images_that_are_held_and_pictures_that_are_decoded(tmp_path: Path) -> None:
    listing = list_pictures(save(tmp_path / "set", 30, side=100), classes=False)
    estimate = estimate_reading(listing, Preprocessing(32, 24, 3), threads=4)
    assert estimate.held == 30 * 3 * 32 * 24
    assert estimate.largest == 100 * 100 * 8
    assert estimate.total == estimate.held + 4 * estimate.largest
    streamed = estimate_reading(listing, Preprocessing(32, 24, 3), memory_limit=1000)
    assert streamed.held == 0
    assert "nothing held of 30 images of 3 x 32 x 24" in str(streamed)


def test_the_one_large_picture_of_a_large_folder_counts(tmp_path: Path) -> None:
    root = save(tmp_path / "set", 600)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (900, 700), dtype=np.uint8)).save(root / "301.png")
    estimate = estimate_reading(list_pictures(root, classes=False), Preprocessing(8, 8, 1))
    assert estimate.largest == 900 * 700 * 8


def test_threads_follow_from_the_size_of_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    root = save(tmp_path / "set", 3)
    listing = list_pictures(root, classes=False)
    assert estimate_reading(listing, Preprocessing(8, 8, 1)).threads == 8
    (root / "large.png").write_bytes(png_header(9000, 9000))
    listing = list_pictures(root, classes=False)
    large = estimate_reading(listing, Preprocessing(8, 8, 1))
    assert large.threads == GATE.budget // (9000 * 9000 * 8) == 3
    assert estimate_reading(listing, Preprocessing(8, 8, 1), threads=50).decoding <= GATE.budget


def test_jpegs_are_counted_at_the_fraction_at_which_they_are_decoded(tmp_path: Path) -> None:
    Image.new("RGB", (1600, 1600)).save(tmp_path / "a.jpg")
    listing = list_pictures(tmp_path, classes=False)
    small = estimate_reading(listing, Preprocessing(32, 32, 3), threads=1)
    assert small.largest == 200 * 200 * 8
    Image.new("RGB", (1600, 1600)).save(tmp_path / "a.jpg", progressive=True)
    progressive = estimate_reading(listing, Preprocessing(32, 32, 3), threads=1)
    assert progressive.largest == 200 * 200 * 8 + 1600 * 1600 * 6


def test_more_than_is_allowed_is_refused_with_the_numbers(tmp_path: Path) -> None:
    listing = list_pictures(save(tmp_path / "set", 40), classes=False)
    estimate = estimate_reading(listing, Preprocessing(512, 512, 1), threads=1)
    estimate.refuse_beyond(20 * 10**6)
    with pytest.raises(UserError) as caught:
        estimate.refuse_beyond(10**7)
    said = str(caught.value)
    assert said.startswith("reading takes about 0.01 GB (0.01 GB for 40 images of 1 x 512 x 512")
    assert "more than the 0.01 GB allowed" in said
    assert "--memory" in said


def test_files_that_are_no_pictures_cost_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    estimate = estimate_reading(list_pictures(tmp_path, classes=False), Preprocessing(8, 8, 1))
    assert (estimate.images, estimate.largest) == (2, 0)
