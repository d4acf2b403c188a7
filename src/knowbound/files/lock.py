"""One run at a time in a folder."""

import contextlib
import errno
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from knowbound.errors import UserError
from knowbound.files.replacing import cannot_write
from knowbound.values import JsonObject

LOCK = ".knowbound.files.lock"
FAR = 1 << 30
"""The byte that Windows locks: beyond the text, so that others can read who holds the lock."""
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""Answers of file systems that know no locks."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A block that no other process, and no second block of this one, enters for the same folder.

    The operating system holds the lock and lets it go when the process ends, however it ends: a
    killed run leaves nothing that stops the next.  On a file system without locks, the record of a
    process that still lives on this computer has the same effect.

    Raises:
        UserError: that names the process, its computer and since when, where another holds the
            lock; and where the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _take(folder / LOCK)
    except (OSError, ValueError) as error:
        raise UserError(cannot_write(folder, error)) from error
    if file is None:
        raise UserError(
            f"{folder} is in use by another run{_holder(folder / LOCK)}; wait for its end, stop "
            "it, or name another folder"
        )
    try:
        os.ftruncate(file, 0)
        os.write(file, json.dumps(_record()).encode())
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows removes no open file
            (folder / LOCK).unlink()
        os.close(file)


def _take(path: Path) -> int | None:
    """The lock file, opened and locked, or None where another has it."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _lock(file, path):
                os.close(file)
                return None
            # Whoever had it may have removed it between our opening and locking it.
            if _is_same(file, path):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _is_same(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _lock(file: int, path: Path) -> bool:
    """Whether this process has the lock now."""
    try:
        _ask_system(file)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        if error.errno not in NO_LOCKS:
            raise
        return not _lives(_read(path))
    return True


if os.name == "nt":  # pragma: no cover
    import msvcrt

    def _ask_system(file: int) -> None:
        os.lseek(file, FAR, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        os.lseek(file, 0, os.SEEK_SET)

else:
    import fcntl

    def _ask_system(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _record() -> JsonObject:
    """Who holds the lock: process, computer and since when."""
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    return {"process": os.getpid(), "computer": socket.gethostname(), "since": since}


def _read(path: Path) -> JsonObject:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _holder(path: Path) -> str:
    """`` (process 123 on desk, since 2026-01-31 12:00:00+01:00)``, as far as it is known."""
    found = _read(path)
    if not found:
        return ""
    since = str(found.get("since")).replace("T", " ")
    return f" (process {found.get('process')} on {found.get('computer')}, since {since})"


def _lives(found: JsonObject) -> bool:
    """Whether a record is of a process that still runs, or may run on another computer."""
    if not found:
        return False
    if found.get("computer") != socket.gethostname():
        return True
    try:
        os.kill(int(found["process"]), 0)
    except (ProcessLookupError, KeyError, TypeError, ValueError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
