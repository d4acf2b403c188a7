"""Classes whose pictures all become one colour are refused, with what may help."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowbound.data.pictures.folder import read_folder
from knowbound.data.preprocessing import Preprocessing
from knowbound.errors import UserError
from tests.data.pictures.test_value_range import drawing

RNG = np.random.default_rng(0)
GREY = Preprocessing(16, 16, 1)


def classes(root: Path, picture: Image.Image) -> Path:
    for name in "ab":
        (root / name).mkdir()
        for index in range(2):
            picture.save(root / name / f"{index}.png")
    return root


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (drawing(255), r"\(255,\) of 255, .*; show their transparent parts with --background auto"),
        (
            Image.fromarray(RNG.integers(0, 100, (16, 16)).astype(np.uint16)),
            r"\(0,\) of 255, .*; keep their values with --range auto",
        ),
        (Image.new("L", (9, 9), 7), r"\(7,\) of 255, .*; check that these are the pictures"),
    ],
)
def test_classes_of_one_colour_are_refused(
    tmp_path: Path, picture: Image.Image, words: str
) -> None:
    root = classes(tmp_path, picture)
    with pytest.raises(UserError, match=f"all 4 pictures of .* become one colour, {words}"):
        read_folder(root, GREY, classes=True)
    assert len(read_folder(root, GREY, classes=False).source) == 4


def test_flat_pictures_of_different_colours_can_be_learned(tmp_path: Path) -> None:
    root = classes(tmp_path, Image.new("L", (9, 9), 7))
    Image.new("L", (9, 9), 8).save(root / "b" / "1.png")
    assert len(read_folder(root, GREY, classes=True).source) == 4
