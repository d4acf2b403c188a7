"""Rejected pictures on disk: whole, once, bounded, and never in the way."""

import errno
import os
import threading
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest

from knowbound.errors import UserError
from knowbound.labels import Decision
from knowbound.product.serving import kept as module
from knowbound.product.serving.kept import Kept, keeping
from tests.product.serving.samples import shade


def keep(folder: Path, *given: tuple[bytes, Decision], **bounds: int) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    most, most_bytes = bounds.get("most", 100), bounds.get("most_bytes", 10**9)
    with keeping(
        folder, most=most, most_bytes=most_bytes, on_kept=lambda one: outcomes.update([one])
    ) as kept:
        assert kept is not None
        for one in given:
            kept.offer(*one)
    return outcomes


def pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_the_same_picture_is_kept_once_as_it_came(tmp_path: Path) -> None:
    new, odd, dark = shade(150), shade(250), shade(0)
    given = [(new, Decision.NOVELTY), (odd, Decision.ANOMALY), (dark, Decision.KNOWN)]
    assert keep(tmp_path, *given, *given) == {"kept": 2, "there": 2}
    assert keep(tmp_path, *given) == {"there": 2}
    first, second = pictures(tmp_path)
    assert (first.parent.name, second.parent.name) == ("anomaly", "novelty")
    assert (first.read_bytes(), second.read_bytes()) == (odd, new)
    assert {first.suffix, second.suffix} == {".png"}


def test_there_is_a_bound_that_holds_over_runs(tmp_path: Path) -> None:
    given = [(shade(value), Decision.NOVELTY) for value in range(10)]
    assert keep(tmp_path, *given[:4], most=6) == {"kept": 4}
    assert keep(tmp_path, *given, most=6) == {"there": 4, "kept": 2, "full": 4}
    assert len(pictures(tmp_path)) == 6
    three = sum(len(content) for content, _ in given[:3])
    other = keep(tmp_path / "other", *given, most_bytes=three)
    assert other == {"kept": 3, "full": 7}


def test_one_service_in_a_folder(tmp_path: Path) -> None:
    with (
        keeping(tmp_path, most=1, most_bytes=1, on_kept=lambda _: None),
        pytest.raises(UserError, match="in use"),
        keeping(tmp_path, most=1, most_bytes=1, on_kept=lambda _: None),
    ):
        pass


def test_a_place_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(UserError, match="cannot be written"),
        keeping(tmp_path / "file", most=1, most_bytes=1, on_kept=lambda _: None),
    ):
        pass


def test_a_full_disk_or_a_slow_one_refuses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise UserError(f"{path}: {os.strerror(errno.ENOSPC)}")

    with monkeypatch.context() as patch:
        patch.setattr(module, "replace_file", full)
        given = [(shade(value), Decision.NOVELTY) for value in range(9)]
        assert keep(tmp_path, *given) == {"failed": 9}
    assert [one.getMessage().count("No space left") for one in caplog.records] == [1]
    free = threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(module, "replace_file", lambda path, content: free.wait(10))
        outcomes: Counter[str] = Counter()
        kept = Kept(tmp_path, most=9, most_bytes=9**9, on_kept=lambda one: outcomes.update([one]))
        for value in range(module.WAITING + 11):
            kept.offer(shade(value), Decision.ANOMALY)
        assert outcomes["busy"] >= 10
        free.set()
        kept.stop()
    free.clear()
    with monkeypatch.context() as patch:
        patch.setattr(module, "WAITING_BYTES", 3 * len(shade(0)))
        patch.setattr(module, "replace_file", lambda path, content: free.wait(10))
        outcomes = Counter()
        kept = Kept(tmp_path, most=9, most_bytes=9**9, on_kept=lambda one: outcomes.update([one]))
        for value in range(20):
            kept.offer(shade(value), Decision.ANOMALY)
        assert outcomes["busy"] >= 16
        free.set()
        kept.stop()
        assert kept._held == 0


def test_a_picture_that_fails_does_not_end_the_keeping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def identify(file: BytesIO, name: str) -> None:
        raise ValueError("a header that no reader expected")

    def fail_once(path: Path, content: bytes) -> None:
        monkeypatch.undo()
        raise RuntimeError

    monkeypatch.setattr(module, "identify", identify)
    assert keep(tmp_path, (shade(150), Decision.NOVELTY)) == {"kept": 1}
    monkeypatch.setattr(module, "replace_file", fail_once)
    given = [(shade(value), Decision.NOVELTY) for value in (1, 2, 3)]
    assert keep(tmp_path, *given) == {"failed": 1, "kept": 2}


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    keep(tmp_path, (shade(150), Decision.NOVELTY))
    (tmp_path / "novelty" / ".0123.png.89abcdef.partial").write_bytes(b"half")
    (tmp_path / "novelty" / "mine.png").write_bytes(b"mine")
    keep(tmp_path)
    assert {path.name for path in pictures(tmp_path / "novelty")} > {"mine.png"}
    assert not list((tmp_path / "novelty").glob(".*"))
