"""What belongs together: copies, near copies, tracks, folders, and what a user says."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from knowbound.data.copies import fingerprints, near_pairs
from knowbound.data.groups import _split as split
from knowbound.data.groups import group_images
from knowbound.data.sets.cifar10 import read_cifar10
from knowbound.data.sets.mnist import read_mnist
from knowbound.data.source import Source
from knowbound.errors import UserError

Indices = NDArray[np.int64]


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


def images(count: int, labels: Indices | None = None) -> Source:
    """Noise: no two alike."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 1, 12, 12), dtype=np.uint8)
    of = np.zeros(count, np.int64) if labels is None else labels
    return Source("noise", pixels, of, tuple("abc"))


def parts(ids: Indices) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(ids == i).tolist()) for i in set(ids.tolist())}


def names_of_tracks(tracks: int, frames: int, pattern: str = "{:05d}_{:05d}.png") -> list[str]:
    return [pattern.format(t, f) for t in range(tracks) for f in range(frames)]


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (names_of_tracks(10, 12), 10),
        (
            names_of_tracks(10, 12, "seq{}-frame{}.jpg"),
            10,
        ),
        (names_of_tracks(10, 4, "video{}_{:03d}.jpg"), 10),
        ([f"t{t}_{5 * f:04d}.png" for t in range(9) for f in range(8)], 9),
        ([f"IMG_{i:04d}.JPG" for i in range(120)], 120),
        ([f"{i}.png" for i in range(120)], 120),
        ([f"cat.{i}.jpg" for i in range(120)], 120),
        ([f"n0144{c}_{i}.JPEG" for c in range(2) for i in range(60)], 120),
        ([f"{t}_{f}.png" for t in range(60) for f in range(1 + (t < 9))], 69),  # hardly shared
    ],
)
def test_only_convincing_names_are_tracks(names: list[str], groups: int) -> None:
    found = group_images(images(len(names)), names)
    assert found.count == groups
    assert ("read as track" in found.rule) == (groups < len(names))


def test_numbers_without_order_are_no_tracks() -> None:
    rng = np.random.default_rng(0)
    names = [
        f"{kind}_s_{number:06d}.png"
        for kind in ("jet", "biplane", "airbus", "drone", "glider", "fighter", "airliner", "cub")
        for number in rng.choice(3000, 20, replace=False)
    ]
    assert group_images(images(len(names)), names).count == len(names)
    assert group_images(images(len(names)), names, "name").count == 8


def test_tracks_are_told_class_by_class_and_folder_by_folder() -> None:
    tracks = [f"in/a/{name}" for name in names_of_tracks(8, 6)]
    again = [f"in/b/{name}" for name in names_of_tracks(8, 6)]
    plain = [f"in/c/{i}.png" for i in range(30)]
    labels = np.repeat([0, 1, 2], [48, 48, 30])
    found = group_images(images(126, labels), tracks + again + plain)
    assert found.count == 8 + 8 + 30
    assert "in 2 of 3 classes" in found.rule
    assert parts(found.ids[:48]) == {frozenset(range(6 * t, 6 * t + 6)) for t in range(8)}
    assert found.ids.tolist() == [*np.repeat(np.arange(16), 6), *range(16, 46)]


def test_exported_copies_of_one_original_belong_together() -> None:
    names = [f"sign-{i}_jpg.rf.{i:02d}{k}{'0af9' * 7}1.jpg" for i in range(6) for k in range(3)]
    found = group_images(images(18), names)
    assert parts(found.ids) == {frozenset(range(3 * i, 3 * i + 3)) for i in range(6)}
    assert "18 names are exported copies" in found.rule


def test_copies_join_what_a_rule_keeps_apart() -> None:
    given = images(12)
    pixels = np.concatenate([given.images(slice(None)), given.images(slice(0, 1))])
    both = Source("copies", pixels, np.zeros(13, np.int64), ("a",))
    folders = [f"{'x' if i < 6 else 'y'}/{i}.png" for i in range(13)]
    assert group_images(both, folders, "folder").count == 1
    found = group_images(both, folders, None)
    assert (found.count, found.copies, found.near_copies) == (12, 1, 0)
    assert found.examples == (("x/0.png", "y/12.png"),)
    assert group_images(both).examples == (("image 0", "image 12"),)


def test_what_has_no_group_is_alone_and_said() -> None:
    names = [f"p{i // 2}_x{i}.png" for i in range(8)] + ["other.png", "another.png"]
    found = group_images(images(10), names, r"^(p\d+)_")
    assert found.count == 6
    assert "2 do not have it and are on their own" in found.rule
    column = ["s1", "s1", None, "", float("nan"), "s2", "s2", 3, 3, " "]
    found = group_images(images(10), None, column)
    assert found.count == 3 + 4
    assert "4 have none and are on their own" in found.rule


@pytest.mark.parametrize(
    ("by", "paths", "match"),
    [
        ("folder", None, "they have no names"),
        ("name", ["a.png", "b.png"], "no name ends with a number"),
        (None, ["a.png"], "1 paths were given for 2 images"),
    ],
)
def test_what_cannot_be_grouped(by: str, paths: list[str] | None, match: str) -> None:
    with pytest.raises(UserError, match=match):
        group_images(images(2), paths, by)


@pytest.mark.parametrize(
    "path",
    [
        *("a/b.png", "b.png", "/b.png", "a//b.c.png", "a/.hid", "a/x.", "a/..", "..", "a/./b"),
        *("a/b/", "./a.b", ".", "", "/", "//a/b", "a/.b.c", "x/y/../z.png", "a b/c d.jpg"),
    ],
)
def test_a_name_is_taken_apart_as_a_path_is(path: str) -> None:
    slow = Path(path)
    assert split(path, Path) == (slow.parent, slow.name, slow.stem)
