"""One run at a time in a folder, whatever became of the one before."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from knowbound.errors import UserError
from knowbound.files import lock
from knowbound.files.lock import LOCK, locked

HOLD = """
import sys, time
from pathlib import Path
from knowbound.files.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(folder: Path) -> subprocess.Popen[bytes]:
    """A process that has the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_the_second_is_told_who_has_it(tmp_path: Path) -> None:
    process = hold(tmp_path / "model")
    try:
        with pytest.raises(UserError) as caught, locked(tmp_path / "model"):
            pass
    finally:
        process.kill()
        process.wait()
    said = str(caught.value)
    assert f"process {process.pid} on {socket.gethostname()}, since 20" in said
    assert "in use by another run" in said


def test_a_killed_run_stops_nobody(tmp_path: Path) -> None:
    process = hold(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / LOCK).exists()
    with locked(tmp_path):
        found = json.loads((tmp_path / LOCK).read_text())
        assert found["process"] == os.getpid()
    assert os.listdir(tmp_path) == []


def test_one_block_at_a_time_in_one_process_too(tmp_path: Path) -> None:
    with locked(tmp_path):
        with pytest.raises(UserError, match=f"process {os.getpid()} "), locked(tmp_path):
            pass
        with locked(tmp_path / "other"):
            pass
    with locked(tmp_path):
        pass


def test_an_error_inside_lets_it_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path):
        pass


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(UserError, match="cannot be written"), locked(tmp_path / "file"):
        pass


@pytest.mark.parametrize(
    ("record", "free"),
    [
        ({}, True),
        ({"process": 2**22 + 1, "computer": socket.gethostname(), "since": "x"}, True),
        ({"process": os.getpid(), "computer": socket.gethostname(), "since": "x"}, False),
        ({"process": 1, "computer": "another", "since": "x"}, False),
    ],
)
def test_without_locks_of_the_file_system_the_record_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: dict[str, object], free: bool
) -> None:
    def none(_: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(lock, "_ask_system", none)
    (tmp_path / LOCK).write_text(json.dumps(record))
    if free:
        with locked(tmp_path):
            pass
    else:
        with pytest.raises(UserError, match="in use by another run"), locked(tmp_path):
            pass


def test_many_that_want_it_have_it_one_after_the_other(tmp_path: Path) -> None:
    script = """
import sys, time
from pathlib import Path
from knowbound.files.lock import locked
from knowbound.errors import UserError
folder = Path(sys.argv[1])
done = 0
while done < 20:
    try:
        with locked(folder / "model"):
            file = folder / "inside"
            file.open("x").close()
            time.sleep(0.001)
            file.unlink()
            done += 1
    except UserError:
        time.sleep(0.001)
"""
    several = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(3)]
    deadline = time.monotonic() + 120
    for process in several:
        assert process.wait(timeout=max(1, deadline - time.monotonic())) == 0
    assert os.listdir(tmp_path / "model") == []
