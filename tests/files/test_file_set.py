"""Several files in one step: no reader ever has parts of two saves."""

import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from knowbound.files.file_set import hashed_name, read_files, replace_files


def describe(stored: Mapping[str, str]) -> bytes:
    return json.dumps({"parts": sorted(stored.values())}).encode()


def names(content: bytes) -> Iterable[str]:
    found: list[str] = json.loads(content)["parts"]
    return found


def save(folder: Path, number: int) -> dict[str, str]:
    parts = {
        "model.safetensors": f"weights {number} ".encode() * 5000,
        "table.bin": f"table {number} ".encode() * 3000,
    }
    return replace_files(folder, "model.json", parts, describe)


def test_what_was_saved_is_read_and_older_sets_go(tmp_path: Path) -> None:
    for number in range(5):
        stored = save(tmp_path / "m", number)
        assert sorted(stored) == ["model.safetensors", "table.bin"]
        _, parts = read_files(tmp_path / "m", "model.json", names)
        weights = parts[stored["model.safetensors"]]
        assert weights == f"weights {number} ".encode() * 5000
        digest = hashlib.sha256(weights).hexdigest()[:16]
        assert stored["model.safetensors"] == f"model-{digest}.safetensors"
    # The index, the parts in use and those of the save before.
    assert len(os.listdir(tmp_path / "m")) == 5


def test_a_save_of_the_same_content_changes_no_name(tmp_path: Path) -> None:
    assert save(tmp_path, 1) == save(tmp_path, 1)
    assert len(os.listdir(tmp_path)) == 3


def test_files_of_others_stay(tmp_path: Path) -> None:
    others = ["model.safetensors", "model-old.safetensors", "notes.txt", "table-1234.bin"]
    for name in others:
        (tmp_path / name).write_bytes(b"mine")
    for number in range(3):
        save(tmp_path, number)
    assert all((tmp_path / name).read_bytes() == b"mine" for name in others)


def test_a_part_left_half_written_by_a_killed_run_is_written_again(tmp_path: Path) -> None:
    stored = save(tmp_path, 1)
    (tmp_path / stored["table.bin"]).write_bytes(b"table")
    save(tmp_path, 1)
    _, parts = read_files(tmp_path, "model.json", names)
    assert parts[stored["table.bin"]] == b"table 1 " * 3000


def test_a_missing_part_is_an_error_and_not_a_wait(tmp_path: Path) -> None:
    stored = save(tmp_path, 1)
    (tmp_path / stored["table.bin"]).unlink()
    with pytest.raises(FileNotFoundError):
        read_files(tmp_path, "model.json", names)
    with pytest.raises(FileNotFoundError):
        read_files(tmp_path / "nowhere", "model.json", names)


def test_a_set_replaced_under_a_readers_eyes_is_read_as_it_is_now(tmp_path: Path) -> None:
    save(tmp_path, 1)
    saves = iter([2, 3])  # after the second, the parts of the first are gone

    def names_and_saves(content: bytes) -> Iterable[str]:
        for number in saves:
            save(tmp_path, number)
        return names(content)

    content, parts = read_files(tmp_path, "model.json", names_and_saves)
    assert set(parts) == set(names(content))
    assert b"table 3 " * 3000 in parts.values()


def test_names_carry_the_hash_before_the_ending() -> None:
    assert hashed_name("a.b.c", b"") == "a.b-e3b0c44298fc1c14.c"


def _save_often(folder: Path, times: int) -> None:
    for number in range(times):
        save(folder, number)


def test_a_reader_beside_150_saves_never_sees_a_mix(tmp_path: Path) -> None:
    save(tmp_path, 0)
    writer = multiprocessing.get_context("spawn").Process(target=_save_often, args=(tmp_path, 150))
    writer.start()
    reads, seen = 0, set()
    while writer.is_alive() or reads < 100:
        _, parts = read_files(tmp_path, "model.json", names)
        texts = {content.split(b" ")[0]: content for content in parts.values()}
        numbers = {content.split(b" ", 2)[1] for content in texts.values()}
        assert len(texts) == 2
        assert len(numbers) == 1, numbers
        for name, content in parts.items():
            assert name == hashed_name(name.split("-")[0] + "." + name.split(".")[1], content)
        seen |= numbers
        reads += 1
    writer.join()
    assert writer.exitcode == 0
    assert len(seen) > 1
