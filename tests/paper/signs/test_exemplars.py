"""Figure 2: the clearest crop of each class, in the panel of its part."""

import numpy as np
import pytest

from knowbound.data.signs.crops import Crops
from knowbound.data.source import Source
from knowbound.paper.signs.class_splits import ClassSplit
from knowbound.paper.signs.exemplars import CELL, exemplar, exemplar_sheet, sharpness

CHECKS = np.indices((24, 24)).sum(axis=0) // 4 % 2 * 255


def blurred(image: np.ndarray, times: int) -> np.ndarray:
    values = image.astype(np.float64)
    for _ in range(times):
        values = sum(np.roll(values, shift, axis) for shift in (-1, 0, 1) for axis in (0, 1)) / 6
    return values


def crops(images: list[np.ndarray], sizes: list[tuple[int, int]], labels: list[int]) -> Crops:
    pixels = np.stack([np.stack([image] * 3) for image in images]).astype(np.uint8)
    names = tuple(f"c{i}" for i in range(max(labels) + 1))
    source = Source("signs", pixels, np.array(labels, dtype=np.int64), names)
    return Crops(source, np.array(["f"] * len(labels)), np.array(sizes, dtype=np.int64))


def test_sharpness_falls_with_every_blur_and_is_the_mean_squared_laplacian() -> None:
    values = [
        sharpness(np.stack([blurred(CHECKS, times)] * 3).astype(np.uint8)) for times in (0, 1, 3, 6)
    ]
    assert values == sorted(values, reverse=True)
    noise = np.random.default_rng(0).integers(0, 256, (3, 18, 12), dtype=np.uint8)
    grey = noise.astype(float).mean(axis=0)[3:15, 2:10] / 255
    total = []
    for row in range(1, grey.shape[0] - 1):
        for column in range(1, grey.shape[1] - 1):
            around = (
                grey[row - 1, column]
                + grey[row + 1, column]
                + grey[row, column - 1]
                + grey[row, column + 1]
            )
            total.append((4 * grey[row, column] - around) ** 2)
    assert sharpness(noise) == pytest.approx(np.mean(total))


def test_a_small_crop_is_not_taken_however_sharp() -> None:
    signs = crops(
        [CHECKS, blurred(CHECKS, 2), blurred(CHECKS, 1)], [(20, 20), (44, 44), (43, 44)], [0, 0, 0]
    )
    assert exemplar(signs, "c0") in (1, 2)


@pytest.mark.parametrize("seed", range(5))
def test_the_choice_is_the_sharpest_of_the_typical_half_of_the_large(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = [
        np.rint(blurred(CHECKS + rng.normal(0, 60, CHECKS.shape), rng.integers(1, 5))).clip(0, 255)
        for _ in range(12)
    ]
    sides = rng.integers(36, 45, size=12).tolist()
    labels = [0, 1] * 6
    signs = crops(images, [(side, 44) for side in sides], labels)
    mine = [i for i in range(12) if labels[i] == 1]
    standard = {i: (images[i] - images[i].mean()) / images[i].std() for i in mine}
    mean = sum(standard.values()) / len(mine)
    large = [i for i in mine if sides[i] >= 0.9 * max(sides[j] for j in mine)]
    nearest = sorted(large, key=lambda i: float(((standard[i] - mean) ** 2).sum()))[
        : (len(large) + 1) // 2
    ]
    assert exemplar(signs, "c1") == max(nearest, key=lambda i: sharpness(signs.source.pixels[i]))


def test_a_sharp_crop_that_looks_unlike_its_class_is_not_taken() -> None:
    leaves = np.random.default_rng(0).integers(0, 2, (24, 24)) * 255
    signs = crops(
        [leaves, blurred(CHECKS, 2), blurred(CHECKS, 1), blurred(CHECKS, 3)],
        [(44, 44)] * 4,
        [0] * 4,
    )
    assert sharpness(signs.source.pixels[0]) > sharpness(signs.source.pixels[2])
    assert exemplar(signs, "c0") in (1, 2)


def test_each_class_is_drawn_once_in_its_part_and_the_sheet_repeats() -> None:
    images = [np.full((24, 24), 20 + 10 * i) for i in range(7)]
    signs = crops(images, [(44, 44)] * 7, list(range(7)))
    split = ClassSplit("toy", ("c3", "c0", "c6"), ("c1",), ("c2", "c5"), ())
    sheet = exemplar_sheet(signs, split)
    pixels = np.asarray(sheet)
    width = sheet.width // 3  # each part has two columns here
    for panel, names in enumerate((split.in_classes, split.seen, split.unseen)):
        area = pixels[:, panel * width : (panel + 1) * width]
        for i in range(7):
            drawn = (area == 20 + 10 * i).all(axis=2).sum()
            assert (drawn >= CELL * CELL) == (f"c{i}" in names)
    np.testing.assert_array_equal(pixels, np.asarray(exemplar_sheet(signs, split)))


def test_a_class_without_a_crop_is_refused() -> None:
    signs = crops([CHECKS], [(44, 44)], [1])
    with pytest.raises(ValueError, match="'c0' has no crop"):
        exemplar(signs, "c0")
