"""What belongs together: copies, near copies, tracks, folders, and what a user says."""

from pathlib import Path

import numpy as np
import pytest

from knowbound.data.copies import fingerprints, near_pairs
from knowbound.data.groups import group_images
from knowbound.data.sets.cifar10 import read_cifar10
from knowbound.data.sets.mnist import read_mnist
from knowbound.data.source import Source
from knowbound.errors import UserError


def pictures(count: int, seed: int = 0, side: int = 24) -> np.ndarray:  # type: ignore[type-arg]
    """(N, 1, side, side) smooth random pictures, each with structure of its own."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (count, 1, 6, 6))
    return np.kron(coarse, np.ones((side // 6, side // 6))).astype(np.uint8)


def source(pixels: np.ndarray, classes: int = 2) -> Source:  # type: ignore[type-arg]
    labels = np.arange(len(pixels), dtype=np.int64) % classes
    return Source("s", pixels, labels, tuple("abcdefgh"[:classes]))


def literal_copies(pixels: np.ndarray) -> list[int]:  # type: ignore[type-arg]
    """The first image with the same pixels, pair by pair."""
    return [
        next(i for i in range(len(pixels)) if (pixels[i] == pixels[j]).all())
        for j in range(len(pixels))
    ]


def test_equal_pixels_are_one_group() -> None:
    pixels = np.concatenate([pictures(10), pictures(10)[[3, 3, 7]]])
    found = group_images(source(pixels), by=None)
    assert found.copies == 3
    assert fingerprints(source(pixels)).first.tolist() == literal_copies(pixels)
    assert len(set(found.ids[[3, 10, 11]])) == 1
    assert found.ids[7] == found.ids[12]
    assert found.count == 10
    assert "3 images are copies of another" in found.rule


def test_a_brightened_picture_is_nearly_equal_and_a_random_one_is_not() -> None:
    pixels = pictures(40)
    changed = np.clip(pixels[:4].astype(int) + 6, 0, 255).astype(np.uint8)
    found = group_images(source(np.concatenate([pixels, changed])), by=None)
    assert [found.ids[i] == found.ids[40 + i] for i in range(4)] == [True] * 4
    assert found.count == 40
    assert found.near_copies + found.copies == 4


def test_pictures_without_contrast_are_joined_only_where_they_are_equal() -> None:
    rng = np.random.default_rng(0)
    dark = rng.integers(0, 3, (30, 1, 24, 24)).astype(np.uint8)
    assert group_images(source(dark), by=None).count == 30


def test_names_that_look_like_tracks_are_tracks_and_others_are_not() -> None:
    pixels = pictures(96, side=24)
    tracks = [f"in/a/{i // 8:05d}_{i % 8:05d}.png" for i in range(96)]
    found = group_images(source(pixels, classes=1), tracks)
    assert found.count == 12
    assert "read as track and number" in found.rule
    plain = [f"in/a/{i}.png" for i in range(96)]
    assert group_images(source(pixels, classes=1), plain).count == 96


def test_folders_columns_and_expressions() -> None:
    pixels, count = pictures(12), 12
    paths = [f"p{i // 3}/x{i}-{i % 2}.png" for i in range(count)]
    given = source(pixels)
    assert group_images(given, paths, "folder").count == 4
    assert group_images(given, paths, r"-(\d)").count == 2
    assert group_images(given, paths, [i // 6 for i in range(count)]).count == 2
    assert group_images(given, paths, [None] * count).count == count


@pytest.mark.parametrize(
    ("by", "words"),
    [("(", "no regular expression"), ("nowhere", "in none of 12 names"), ([1, 2], "2 groups")],
)
def test_a_rule_that_cannot_be_is_one_sentence(by: str | list[int], words: str) -> None:
    paths = [f"{i}.png" for i in range(12)]
    with pytest.raises(UserError, match=words):
        group_images(source(pictures(12)), paths, by)


@pytest.mark.real_data
def test_distinct_real_images_are_not_joined_in_masses(real_data: Path) -> None:
    rng = np.random.default_rng(0)
    for read in (read_mnist, read_cifar10):
        images = read(real_data, "test").sample(3000, rng)
        joined = near_pairs(fingerprints(images), images.labels)
        assert len(joined) <= 5, images.name
