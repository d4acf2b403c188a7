"""Writing files so that nothing is ever left half-written, and an operating system's errors as
sentences."""

import contextlib
import errno
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path

from knowbound.errors import UserError

TRIES = 50
"""To replace a file that a reader has open, where the system refuses it (Windows)."""
WAIT = 0.02
"""Seconds between two tries."""
LONGEST = 200
"""Characters of a path that a sentence shows whole."""
ELSEWHERE = "name another place"
ADVICE = {
    errno.EACCES: f"ask for the permission, or {ELSEWHERE}",
    errno.EPERM: f"ask for the permission, or {ELSEWHERE}",
    errno.EROFS: "name a place that is not read-only",
    errno.ENOSPC: f"free some space, or {ELSEWHERE}",
    errno.EDQUOT: f"free some of your quota, or {ELSEWHERE}",
    errno.EFBIG: "name a disk that takes larger files",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ENOTDIR: "a part of the path is a file: name a folder",
    errno.EISDIR: "this is a folder: name a file",
    errno.ENOENT: "check how it is written",
    errno.EEXIST: f"something of that name is there: {ELSEWHERE}",
    errno.ENOTEMPTY: f"something of that name is there: {ELSEWHERE}",
    errno.ELOOP: "its links lead in a circle: name the place itself",
    errno.EMFILE: "close other programs, or raise the limit of open files (ulimit -n)",
    errno.ENFILE: "close other programs, or raise the limit of open files (ulimit -n)",
    errno.EBUSY: f"another program uses it: close that, or {ELSEWHERE}",
    errno.EIO: f"the disk or the network failed: check it, or {ELSEWHERE}",
    errno.EINVAL: "this file system takes no such name: give another",
    errno.EILSEQ: "this file system takes no such name: give another",
}
"""What to do about each of the operating system's errors."""


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Raises:
        UserError: naming the path, where the disk is full or the place cannot be written.
    """
    # A name of its own: two processes that write the same file share no half-written one.
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _put_in_place(temporary, path)
    except (OSError, ValueError) as error:
        raise UserError(cannot_write(path, error)) from error
    finally:  # nothing is left where it was put in place; Ctrl-C leaves nothing either
        with contextlib.suppress(OSError, ValueError):
            temporary.unlink()


def _put_in_place(temporary: Path, path: Path) -> None:
    for left in reversed(range(TRIES)):
        try:
            os.replace(temporary, path)
        except PermissionError:
            if os.name != "nt" or not left:
                raise
            time.sleep(WAIT)
        else:
            return


def check_writable(folder: Path, needed: int = 0) -> None:
    """Make a folder and try to write into it: better now than after the training.

    Args:
        folder: made where it is missing.
        needed: bytes that will be written.

    Raises:
        UserError: no file can be written there, or there is too little room.
    """
    if os.path.isfile(folder):
        raise UserError(f"{_shown(folder)} is a file, and a folder is needed; {ELSEWHERE}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
        free = shutil.disk_usage(folder).free
    except (OSError, ValueError) as error:
        raise UserError(cannot_write(folder, error)) from error
    if free < needed:
        raise UserError(
            f"{_shown(folder)} has {free / 1e6:,.1f} MB free, and about {needed / 1e6:,.1f} MB "
            f"will be written; free some space, or {ELSEWHERE}"
        )


def cannot_write(path: Path, error: OSError | ValueError) -> str:
    """The sentence for a place that cannot be written."""
    return sentence_for(error, path, "written")


def sentence_for(error: OSError | ValueError, path: str | Path, done: str = "used") -> str:
    """One sentence for an operating system's error: which place, what is wrong, what to do.

    Args:
        error: an OSError, a UnicodeError about a name, or the ValueError for a null byte in one.
        path: the place it was about.
        done: what could not be done to it: "used", "read" or "written".

    Returns:
        Such as ``/root/x cannot be read (permission denied); ask for the permission, or name
        another place``.
    """
    if isinstance(error, OSError):
        reason = (error.strerror or str(error) or type(error).__name__).lower()
        advice = ADVICE.get(error.errno or 0, f"check it, or {ELSEWHERE}")
    elif isinstance(error, UnicodeError):
        reason, advice = "a character of its name cannot be encoded here", "give another name"
    else:
        reason, advice = "its name holds a character that no name may have", "give another name"
    return f"{_shown(path)} cannot be {done} ({reason}); {advice}"


def _shown(path: str | Path) -> str:
    """The path on one line, without its middle where it is very long."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(path))
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]}...{text[-half:]}"
