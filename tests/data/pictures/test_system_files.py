"""What systems, storage servers and tools leave is not learned, and is said with numbers."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowbound.data.pictures.folder import read_folder
from knowbound.data.pictures.picture_lists import list_files
from knowbound.data.pictures.system_files import is_left_behind, is_skipped
from knowbound.data.preprocessing import Preprocessing

LEFT = (
    "@eaDir", ".@__thumb", "#recycle", "$RECYCLE.BIN", "Thumbs.db", ".DS_Store", "__MACOSX",
    ".Trash-1000", ".Trashes", ".ipynb_checkpoints", "System Volume Information", "lost+found",
    "._a.png", "Desktop.ini",
)  # fmt: skip
KEPT = ("cat", "recycle", "eaDir", "thumbs", "trash", "Icon", "#1", "$5", "@home", "__init__")


@pytest.mark.parametrize("name", LEFT)
def test_they_are_known_by_name(name: str) -> None:
    assert is_left_behind(name)
    assert is_skipped(name)


@pytest.mark.parametrize("name", KEPT)
def test_names_a_person_may_give_are_kept(name: str) -> None:
    assert not is_skipped(name)


def test_a_folder_from_a_storage_server_gives_its_own_pictures_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def picture(name: str) -> None:
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (4, 4), dtype=np.uint8)).save(path, "PNG")

    for name in ("a/1.png", "a/2.png", "b/3.png"):
        picture(name)
    for name in (
        "a/@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg",
        "a/@eaDir/2.png/SYNOPHOTO_THUMB_M.jpg",
        "@eaDir/a@SynoEAStream",
        "#recycle/old.png",
        "$RECYCLE.BIN/S-1-5/$R1.png",
        "a/.hidden/x.png",
        "__MACOSX/a/._1.png",
    ):
        picture(name)
    (tmp_path / "set" / "b" / "Thumbs.db").write_bytes(b"x")
    read = read_folder(tmp_path / "set", Preprocessing(4, 4, 1), classes=True)
    assert read.source.class_names == ("a", "b")
    assert read.class_counts == {"a": 2, "b": 1}
    (problem,) = read.problems
    assert (problem.path, problem.used) == (str(tmp_path / "set"), False)
    assert re.match(
        "skipped what system programs left, 8 files in all: @eaDir .2., ", problem.reason
    )
    for words in ("#recycle (1)", "$RECYCLE.BIN (1)", "__MACOSX (1)", "Thumbs.db (1)"):
        assert words in problem.reason
    assert "names that begin with a dot (1)" in problem.reason
    assert len(list_files(tmp_path / "set")) == 3


def test_hidden_files_alone_are_said_as_such(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "1.png")
    (tmp_path / ".notes").write_bytes(b"x")
    (problem,) = read_folder(tmp_path, Preprocessing(4, 4, 1), classes=False).problems
    assert (
        problem.reason == "skipped what is hidden, 1 file in all: names that begin with a dot (1)"
    )
