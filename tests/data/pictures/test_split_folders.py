"""A set that is split already is told from a folder of classes."""

from pathlib import Path

import pytest

from knowbound.data.pictures.split_folders import refuse_split_folders, split_folders
from knowbound.errors import UserError


def make(root: Path, *folders: str) -> Path:
    for folder in folders:
        (root / folder).mkdir(parents=True)
        (root / folder / "1.png").write_bytes(b"x")
    return root


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("train", "val", "test"), {"train", "validation", "test"}),
        (("Train", "Valid"), {"train", "validation"}),
        (("training", "testing"), {"train", "test"}),
        (("val", "test"), {"validation", "test"}),
    ],
)
def test_the_usual_names_of_parts(tmp_path: Path, names: tuple[str, ...], found: set[str]) -> None:
    make(tmp_path, *(f"{name}/{c}" for name in names for c in ("cat", "dog")))
    split = split_folders(tmp_path)
    assert split is not None
    assert set(split.parts) == found
    assert all(classes == ("cat", "dog") for classes in split.classes.values())


@pytest.mark.parametrize(
    "folders",
    [
        ("cat", "dog"),
        ("train", "bus", "car"),  # a class of vehicles
        ("train/a", "bus/b", "car/c"),
        ("train", "test"),  # pictures alone: two classes, as far as one can tell
        ("train/cat",),
        ("train/a", "test/b", "bus/c", "car/d"),  # vehicles, and a test of something
    ],
)
def test_classes_are_no_parts(tmp_path: Path, folders: tuple[str, ...]) -> None:
    assert split_folders(make(tmp_path, *folders)) is None
    refuse_split_folders(tmp_path)


def test_the_right_commands_are_named(tmp_path: Path) -> None:
    root = make(tmp_path / "my set", "train/cat", "val/cat", "test/cat", "@eaDir/x", "meta")
    with pytest.raises(UserError) as caught:
        refuse_split_folders(root)
    said = str(caught.value)
    assert "holds the parts of a split set (train, val, test), not classes" in said
    assert f"knowbound fit '{root}/train'" in said
    assert f"knowbound evaluate MODEL --known '{root}/test'" in said
    split = split_folders(root)
    assert split is not None
    assert (split.learned, split.judged) == (root / "train", root / "test")
    assert split.others == ("meta",)


def test_what_is_no_folder_is_no_split_set(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("a.png,b\n")
    assert split_folders(tmp_path / "list.csv") is None
    assert split_folders(tmp_path / "nowhere") is None
