"""Classes of folders: counted, compared in one Unicode form, and look-alikes said."""

import unicodedata
from pathlib import Path

import pytest

from knowbound.data.pictures.picture_lists import describe_classes, list_pictures
from knowbound.errors import UserError


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_counts_by_class_in_natural_order(tmp_path: Path) -> None:
    make(tmp_path, "10/a", "9/a", "9/b/c")
    (tmp_path / "11").mkdir()
    listing = list_pictures(tmp_path, classes=True)
    assert list(listing.class_counts.items()) == [("9", 2), ("10", 1), ("11", 0)]


def test_names_that_unicode_holds_for_one_are_one_class(tmp_path: Path) -> None:
    apart, together = (unicodedata.normalize(form, "Käse") for form in ("NFD", "NFC"))
    make(tmp_path, f"{apart}/1", f"{together}/2", "Brot/3")
    listing = list_pictures(tmp_path, classes=True)
    assert len(listing.class_names) == 2
    assert sorted(listing.class_counts.values()) == [1, 2]
    kept = listing.class_names[1]
    assert kept in (apart, together)


def test_look_alike_classes_are_said_and_stay_two(tmp_path: Path) -> None:
    make(tmp_path, "Stop Sign/1", "stop_sign/2", "yield/3")
    listing = list_pictures(tmp_path, classes=True)
    assert listing.class_names == ["Stop Sign", "stop_sign", "yield"]
    (problem,) = listing.problems
    assert problem.used
    assert problem.reason == (
        "the classes 'Stop Sign', 'stop_sign' are taken as 2, though their names differ only by "
        "case, spaces or hyphens"
    )


def test_class_names_are_kept_as_written(tmp_path: Path) -> None:
    names = {"می\u200cخ", "a\u00a0b", "tab\there"}
    make(tmp_path, *(f"{name}/1" for name in names))
    assert set(list_pictures(tmp_path, classes=True).class_names) == names


def test_long_lists_of_classes_are_shortened() -> None:
    few = {"cat": 1200, "dog": 1}
    assert describe_classes(few) == "2 classes, 1,201 images: cat 1,200, dog 1"
    many = {f"k{k}": k for k in range(1, 101)}
    assert describe_classes(many, most=4) == (
        "100 classes, 5,050 images: k100 100, k99 99, ... (96 more), k2 2, k1 1"
    )
    assert describe_classes({}) == "0 classes, 0 images"


def test_places_that_the_system_does_not_let_us_look_at(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="file name too long.; give a shorter name"):
        list_pictures(tmp_path / ("n" * 300), classes=True)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(UserError, match="not a directory"):
        list_pictures(tmp_path / "file" / "set", classes=True)
    with pytest.raises(UserError, match="no name may have"):
        list_pictures(Path("a\0b"), classes=False)
