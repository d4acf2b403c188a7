"""Writing files so that nothing is ever left half-written."""

import contextlib
import os
import tempfile
from pathlib import Path

from knowbound.errors import UserError


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Raises UserError naming the path where the disk is full or the place cannot be written.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise UserError(cannot_write(path, error)) from error


def check_writable(folder: Path) -> None:
    """Make the folder and raise UserError if no file can be written there: better now than after
    the training."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
    except OSError as error:
        raise UserError(cannot_write(folder, error)) from error


def cannot_write(path: Path, error: OSError) -> str:
    """The sentence for a place that cannot be written."""
    reason = (error.strerror or str(error)).lower()
    return f"{path} cannot be written ({reason}); free some space or name another place"
