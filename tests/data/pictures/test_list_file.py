"""Lists as people write them give the same pictures and classes as the plain list."""

import codecs
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowbound.data.pictures.folder import read_folder
from knowbound.data.pictures.picture_lists import Listing, list_pictures, read_list
from knowbound.data.preprocessing import Preprocessing
from knowbound.errors import UserError

FILES = ("cat/1.png", "cat/two words.png", "dog/3.png")
LABELS = ("Katze", "Katze", "Hündin")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (4, 4), dtype=np.uint8)).save(tmp_path / name)
    return tmp_path


def read(root: Path, text: str | bytes, name: str = "list.csv") -> Listing:
    content = text if isinstance(text, bytes) else text.encode()
    (root / name).write_bytes(content)
    return list_pictures(root / name, classes=True)


def pairs(listing: Listing, root: Path) -> list[tuple[str, str]]:
    return [
        (path.relative_to(root).as_posix(), name)
        for path, name in zip(listing.files, listing.classes, strict=True)
    ]


EXPECTED = list(zip(FILES, LABELS, strict=True))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " ", ", ", " ; "])
@pytest.mark.parametrize("header", ["", "path{}class\n", "image_id{}label\n"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_separators(root: Path, separator: str, header: str, ends: str) -> None:
    lines = [f"{file}{separator}{label}" for file, label in EXPECTED]
    text = header.format(separator.strip() or separator) + "\n".join(lines) + "\n"
    listing = read(root, text.replace("\n", ends))
    assert pairs(listing, root) == EXPECTED
    assert listing.problems == []


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16", b""),
        ("utf-16-le", b""),
        ("utf-16-be", b""),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("cp1252", b""),
    ],
)
def test_encodings(root: Path, encoding: str, mark: bytes) -> None:
    text = "path;class\n" + "".join(f"{file};{label}\n" for file, label in EXPECTED)
    listing = read(root, mark + text.encode(encoding))
    assert pairs(listing, root) == EXPECTED
    reasons = [problem.reason for problem in listing.problems]
    assert reasons == (["it is no UTF-8 and was read as cp1252"] if encoding == "cp1252" else [])


def test_the_encoding_in_which_the_files_exist_wins(root: Path) -> None:
    (root / "猫.png").write_bytes(b"x")
    listing = read(root, "猫.png,ねこ\n".encode("cp932"))
    assert pairs(listing, root) == [("猫.png", "ねこ")]


def test_names_of_files_that_are_no_utf_8_are_found(root: Path) -> None:
    name = os.fsdecode(b"k\xe4se.png")
    (root / name).write_bytes(b"x")
    listing = read(root, b"k\xe4se.png,a\n")
    assert [path.name for path in listing.files] == [name]


def test_columns_are_found_by_their_names(root: Path) -> None:
    text = "id,Class Name,width,File Name\n" + "".join(
        f"{k},{label},4,{file}\n" for k, (file, label) in enumerate(EXPECTED)
    )
    assert pairs(read(root, text), root) == EXPECTED
    with pytest.raises(UserError, match="name no class; expected one called class or label"):
        read(root, "path,width,height\ncat/1.png,4,4\n")


def test_a_file_called_path_is_a_file(root: Path) -> None:
    (root / "image").write_bytes(b"x")
    assert pairs(read(root, "image,a\ncat/1.png,b\n"), root) == [
        ("image", "a"),
        ("cat/1.png", "b"),
    ]


def test_lists_without_labels_are_for_all_commands(root: Path) -> None:
    for text in ("\n".join(FILES), "path\n" + "\n".join(FILES), "# all\n\n" + "\n".join(FILES)):
        (root / "a.txt").write_text(text)
        listing = read_list(root / "a.txt")
        assert pairs(listing, root) == [(file, "") for file in FILES]
    (root / "b.csv").write_text("".join(f"{file};{label}\n" for file, label in EXPECTED))
    assert [path.relative_to(root).as_posix() for path in read_list(root / "b.csv").files] == list(
        FILES
    )


def test_what_cannot_be_used_says_how_it_was_read(root: Path) -> None:
    with pytest.raises(UserError, match=r"line 1 of list.csv gives no class.*UTF-8, separated by"):
        read(root, "cat/1.png\n")
    with pytest.raises(UserError, match="is no text; expected a list"):
        read(root, bytes(range(256)) * 20)
    with pytest.raises(UserError, match="is no text; expected a list"):
        read(root, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x20\0\0\0\x20")
    with pytest.raises(UserError, match="names no picture that can be used"):
        read(root, "")
    listing = read(root, "cat/1.png,a\nhttps://example.org/2.png,b\n")
    assert "is an address, not a file; download it first" in listing.problems[0].reason


def test_a_file_that_is_not_there_is_named_when_it_is_read(root: Path) -> None:
    (root / "list.csv").write_text("cat/1.png,a\nnowhere/x.png,b\ndog/3.png,b\n")
    found = read_folder(root / "list.csv", Preprocessing(4, 4, 1), classes=True)
    assert [p.reason for p in found.problems] == ["the file does not exist"]
    assert found.class_counts == {"a": 1, "b": 1}
