"""Files are whole or not there, and every error of the operating system is one sentence."""

import errno
import os
import shutil
import threading
from pathlib import Path

import pytest

from knowbound.errors import UserError
from knowbound.files import check_writable, replace_file, sentence_for


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    for content in (b"first", b"second, and longer"):
        replace_file(path, content)
        assert path.read_bytes() == content
    assert os.listdir(tmp_path / "new") == ["a.json"]


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"x")
    replace_file(tmp_path / "a", b"x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_threads_that_write_one_file_leave_one_of_their_contents(tmp_path: Path) -> None:
    contents = [bytes([value]) * 100_000 for value in range(8)]
    threads = [threading.Thread(target=replace_file, args=(tmp_path / "a", c)) for c in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a").read_bytes() in contents
    assert os.listdir(tmp_path) == ["a"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_file(tmp_path / "a", b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="a cannot be written .no space left.*; free some space"):
        replace_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "permission denied); ask for the permission, or name another place"),
        (errno.ENOSPC, "no space left on device); free some space, or name another place"),
        (errno.ENAMETOOLONG, "file name too long); give a shorter name"),
        (errno.ENOTDIR, "not a directory); a part of the path is a file: name a folder"),
        (errno.EROFS, "read-only file system); name a place that is not read-only"),
        (errno.ECHILD, "no child processes); check it, or name another place"),
    ],
)
def test_each_error_says_what_and_what_to_do(number: int, words: str) -> None:
    error = OSError(number, os.strerror(number))
    assert sentence_for(error, "a/b", "read") == f"a/b cannot be read ({words}"


def test_names_that_no_file_has_and_very_long_ones(tmp_path: Path) -> None:
    for name, words in (("a\0b", r"a\x00b cannot be written"), ("n" * 5000, "name too long")):
        with pytest.raises(UserError) as caught:
            check_writable(tmp_path / name)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400
    error = UnicodeEncodeError("latin-1", "絵", 0, 1, "ordinal not in range")
    assert "a character of its name cannot be encoded" in sentence_for(error, "絵")


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(UserError, match="a part of the path is a file|something of that name"):
        replace_file(tmp_path / "file" / "a.csv", b"x")
    with pytest.raises(UserError, match="file is a file, and a folder is needed"):
        check_writable(tmp_path / "file")


def test_too_little_room_is_said_before_anything_is_written(tmp_path: Path) -> None:
    check_writable(tmp_path, 1000)
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(UserError, match=r"MB free, and about [\d,]+\.\d MB will be written"):
        check_writable(tmp_path, 2 * free)
    assert list(tmp_path.iterdir()) == []
