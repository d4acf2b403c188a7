"""The paths of a list lead to its pictures, wherever it was written."""

import unicodedata
from pathlib import Path

import pytest

from tests.data.pictures.test_list_file import EXPECTED, FILES, pairs, read, root

__all__ = ["root"]  # a fixture


def test_windows_paths(root: Path) -> None:
    lines = [f"{file},{label}".replace("/", "\\") for file, label in EXPECTED]
    assert pairs(read(root, "\r\n".join(lines)), root) == EXPECTED
    lines = [f'"D:\\data\\set\\{file}";{label}'.replace("/", "\\") for file, label in EXPECTED]
    listing = read(root, "\r\n".join(lines))
    assert pairs(listing, root) == EXPECTED
    (remark,) = listing.problems
    assert remark.used
    assert remark.reason == f"its paths were found in {root}, without their first 3 folders"


def test_paths_from_the_working_directory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "lists").mkdir()
    monkeypatch.chdir(root)
    listing = read(root, "\n".join(",".join(pair) for pair in EXPECTED), "lists/a.csv")
    assert [path.as_posix() for path in listing.files] == list(FILES)
    assert [p.reason for p in listing.problems] == [f"its paths were found in {root}"]


def test_names_without_an_ending_in_a_folder_beside_the_list(root: Path) -> None:
    (root / "train").mkdir()
    for name in ("0a.jpg", "0b.png"):
        (root / "train" / name).write_bytes(b"x")
    listing = read(root, "image_id,label,split\n0a,cat,x\n0b,dog,x\n")
    assert pairs(listing, root) == [("train/0a.jpg", "cat"), ("train/0b.png", "dog")]
    assert [p.reason for p in listing.problems] == [
        f"its paths were found in {root / 'train'}",
        "its paths have no ending and were found with one, such as .jpg",
    ]


def test_accents_that_are_written_otherwise_than_on_the_disk(root: Path) -> None:
    (root / unicodedata.normalize("NFD", "é.png")).write_bytes(b"x")
    listing = read(root, unicodedata.normalize("NFC", "é.png") + ",a\n")
    assert listing.files[0].exists()
    classes = [unicodedata.normalize(form, "é") for form in ("NFC", "NFD")]
    listing = read(root, f"cat/1.png,{classes[0]}\ndog/3.png,{classes[1]}\n")
    assert listing.class_names == [classes[0]]
    assert listing.classes == [classes[0]] * 2


def test_lists_that_mix_both_slashes(root: Path) -> None:
    listing = read(root, "cat/1.png,a\ncat\\two words.png,a\ndog\\3.png,b\n")
    assert pairs(listing, root) == [(FILES[0], "a"), (FILES[1], "a"), (FILES[2], "b")]


def test_of_two_folders_that_fit_alike_the_first_is_taken(root: Path) -> None:
    for name in ("y", "x"):
        (root / name).mkdir()
        (root / name / "7.png").write_bytes(b"x")
    listing = read(root, "7.png,a\n8.png,b\n")
    assert pairs(listing, root)[0] == ("x/7.png", "a")
