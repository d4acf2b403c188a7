"""Files that are kept to save time: what removing them frees, and what stops it."""

from pathlib import Path

import pytest

from knowbound.errors import UserError
from knowbound.files import remove_kept


def test_the_bytes_of_those_that_were_there(tmp_path: Path) -> None:
    one, two, gone = tmp_path / "one", tmp_path / "two", tmp_path / "gone"
    one.write_bytes(b"123")
    two.write_bytes(b"12345")
    (tmp_path / "other").write_bytes(b"1")
    assert remove_kept([one, gone, two]) == 8
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_what_cannot_be_removed_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"folder cannot be removed \(.*remove the folder by hand"):
        remove_kept([tmp_path / "folder"])
