"""What is lost on the way to 8 bits and to an opaque picture is said once, with numbers."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowbound.data.pictures.folder import FolderRead, read_folder
from knowbound.data.preprocessing import Preprocessing
from tests.data.pictures.test_value_range import drawing
from tests.data.pictures.test_wide_colour import wide_png

RNG = np.random.default_rng(0)
GREY = Preprocessing(16, 16, 1)


def save(root: Path, top: int, count: int = 3) -> Path:
    for name in "ab":
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            values = RNG.integers(0, top + 1, (16, 16)).astype(np.uint16)
            values.flat[:2] = 0, top
            Image.fromarray(values).save(root / name / f"{index}.png")
    return root


def said(read: FolderRead) -> list[str]:
    assert all(problem.used for problem in read.problems)
    return [problem.reason for problem in read.problems]


@pytest.mark.parametrize(("top", "levels"), [(255, 1), (4095, 16), (1023, 4)])
def test_values_that_collapse_are_counted_once_for_the_folder(
    tmp_path: Path, top: int, levels: int
) -> None:
    root = save(tmp_path, top)
    (reason,) = said(read_folder(root, GREY, classes=False))
    assert reason == (
        f"6 of 6 pictures of 16 bits have values in 0 to {top}, of which at most {levels} of 256 "
        "grey levels are left; keep them with --range auto"
    )


@pytest.mark.parametrize("top", [65535, 30_000])
def test_values_that_fill_their_range_are_fine(tmp_path: Path, top: int) -> None:
    assert said(read_folder(save(tmp_path, top), GREY, classes=True)) == []


def test_with_a_range_nothing_is_lost_and_nothing_said(tmp_path: Path) -> None:
    shown = Preprocessing(16, 16, 1, range=(0, 4095))
    read = read_folder(save(tmp_path, 4095), shown, classes=True)
    assert said(read) == []
    assert len(np.unique(read.source.images(slice(None)))) > 200


def test_values_beyond_a_range_are_said_for_the_picture(tmp_path: Path) -> None:
    values = np.zeros((10, 10), np.uint16)
    values[:3] = 5000
    Image.fromarray(values).save(tmp_path / "a.png")
    (reason,) = said(read_folder(tmp_path, Preprocessing(8, 8, 1, (0, 4095)), classes=False))
    assert reason == "30% of its values lie beyond the range 0 to 4095 and are cut"


def test_colours_of_16_bits_collapse_too(tmp_path: Path) -> None:
    values = RNG.integers(0, 4096, (16, 16, 3)).astype(np.uint16)
    values.flat[:2] = 0, 4095
    (tmp_path / "a.png").write_bytes(wide_png(values))
    (reason,) = said(read_folder(tmp_path, Preprocessing(16, 16, 3), classes=False))
    assert reason.startswith("1 of 1 pictures of 16 bits have values in 0 to 4095, of which at")


def test_white_on_transparent_is_blank_and_said(tmp_path: Path) -> None:
    for index, ink in enumerate((255, 255, 250, 0)):
        drawing(ink).save(tmp_path / f"{index}.png")
    Image.fromarray(RNG.integers(0, 256, (8, 8), dtype=np.uint8)).save(tmp_path / "opaque.png")
    (reason,) = said(read_folder(tmp_path, GREY, classes=False))
    assert reason == (
        "3 of 4 transparent pictures are blank on white; show them with --background auto"
    )
    black = Preprocessing(16, 16, 1, background="black")
    (reason,) = said(read_folder(tmp_path, black, classes=False))
    assert reason.startswith("1 of 4 transparent pictures are blank on black")
