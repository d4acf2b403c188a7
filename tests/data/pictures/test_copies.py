"""The same picture twice is found by its bytes and by its pixels, and all of them are counted."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowbound.data.pictures.copies import (
    copy_groups,
    find_copies,
    find_seen,
    fingerprints,
    refuse_overlap,
    refuse_two_classes,
)
from knowbound.data.pictures.folder import FolderRead, read_folder
from knowbound.data.preprocessing import Preprocessing
from knowbound.errors import UserError

SHAPE = Preprocessing(6, 6, 1)
PICTURES = np.random.default_rng(0).integers(0, 256, (20, 6, 6), dtype=np.uint8)


def save(root: Path, files: dict[str, int], kind: str = "PNG") -> FolderRead:
    for name, number in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PICTURES[number]).save(root / name, kind)
    return read_folder(root, SHAPE, classes=True)


def test_pixels_are_hashed_as_the_network_takes_them(tmp_path: Path) -> None:
    read = save(tmp_path / "png", {"a/1": 0, "b/2": 1})
    other = save(tmp_path / "bmp", {"a/x": 1, "b/y": 0}, "BMP")
    assert read.pixel_sha256 == other.pixel_sha256[::-1]
    assert set(read.file_sha256).isdisjoint(other.file_sha256)
    assert len(set(read.pixel_sha256)) == 2


def test_copies_across_sets_come_one_for_each_file(tmp_path: Path) -> None:
    first = save(tmp_path / "first", {"a/1": 0, "a/2": 1, "b/1": 2})
    second = save(tmp_path / "second", {"a/0": 5, "a/1": 2, "a/2": 2, "b/3": 0})
    Image.fromarray(PICTURES[1]).save(tmp_path / "second" / "b" / "4", "BMP")
    second = read_folder(tmp_path / "second", SHAPE, classes=True)
    found = [(c.path[-3:], c.first[-3:], c.same_bytes) for c in find_copies(first, second)]
    assert found == [
        ("a/1", "b/1", True),
        ("a/2", "b/1", True),
        ("b/3", "a/1", True),
        ("b/4", "a/2", False),
    ]


def test_groups_of_one_picture(tmp_path: Path) -> None:
    read = save(tmp_path, {"a/1": 0, "a/2": 1, "a/3": 0, "b/1": 2, "b/2": 1, "b/3": 0})
    assert copy_groups(read) == [[0, 2, 5], [1, 4]]


def test_what_a_model_has_seen_is_found_again(tmp_path: Path) -> None:
    learned = save(tmp_path / "learned", {"a/1": 0, "b/2": 1})
    kept = fingerprints(learned)
    assert all(len(name) == 16 for name in kept)
    later = save(tmp_path / "later", {"a/5": 1, "b/6": 7})
    assert [path[-3:] for path in find_seen(later, kept)] == ["a/5"]


def test_all_pictures_in_two_classes_are_counted(tmp_path: Path) -> None:
    save(tmp_path, {"a/1": 0, "a/2": 1, "b/1": 0, "b/2": 1, "c/1": 2, "c/2": 1, "a/9": 9})
    Image.fromarray(PICTURES[2]).save(tmp_path / "b" / "7", "BMP")
    read = read_folder(tmp_path, SHAPE, classes=True)
    with pytest.raises(UserError) as caught:
        refuse_two_classes(read)
    said = str(caught.value)
    assert said.startswith(
        "4 pictures are also in another class (3 byte for byte, 1 pixel for pixel; the first: "
    )
    assert f"{tmp_path}/b/1 and {tmp_path}/a/1 hold the same picture in two classes" in said
    assert "by classes: a and b 2, a and c 1, b and c 1" in said
    assert "\n" not in said
    refuse_two_classes(save(tmp_path / "fine", {"a/1": 0, "a/2": 0, "b/1": 3}))


def test_all_outliers_of_known_classes_are_counted_for_every_folder(tmp_path: Path) -> None:
    inside = save(tmp_path / "in", {"a/1": 0, "b/2": 1})
    outs = [
        save(tmp_path / "x", {"o/1": 0, "o/2": 1, "o/3": 5}),
        save(tmp_path / "y", {"o/1": 6}),
        save(tmp_path / "z", {"o/1": 1}, "BMP"),
    ]
    folders = [tmp_path / name for name in "xyz"]
    with pytest.raises(UserError) as caught:
        refuse_overlap(inside, tmp_path / "in", outs, folders)
    said = str(caught.value)
    assert f"2 of 3 images of {tmp_path}/x (byte for byte; the first: {tmp_path}/x/o/1 is" in said
    assert f"1 of 1 images of {tmp_path}/z (pixel for pixel" in said
    assert f"{tmp_path}/y" not in said
    refuse_overlap(inside, tmp_path / "in", outs[1:2], folders[1:2])
