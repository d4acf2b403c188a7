"""The files in a zip or tar archive, one after the other; nothing is written to disk."""

import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from knowbound.errors import UserError

# A RuntimeError is zipfile's answer to a file with a password or packed by an unknown method.
UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
)

LARGEST = 1 << 30
"""Bytes of a file in an archive beyond which it is not read."""


def files_in_archive(path: Path) -> Iterator[tuple[PurePosixPath, Callable[[], bytes]]]:
    """Each regular file's name and a function that reads it, which may raise one of ``UNREADABLE``.

    Files come in the archive's own order, and each is best read before the next is asked for: going
    back in a packed tar file means unpacking it again.  Raises UserError for a file that is no such
    archive, or not a whole one.
    """
    try:
        yield from _in_tar(path) if tarfile.is_tarfile(path) else _in_zip(path)
    except UNREADABLE as error:
        raise UserError(
            f"{path} is not a whole zip or tar archive ({error}); fetch it again"
        ) from error


def _in_tar(path: Path) -> Iterator[tuple[PurePosixPath, Callable[[], bytes]]]:
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isreg():
                yield PurePosixPath(member.name), partial(_member, archive, member)


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    _check_size(member.size)
    content = archive.extractfile(member)
    return b"" if content is None else content.read()


def _in_zip(path: Path) -> Iterator[tuple[PurePosixPath, Callable[[], bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                yield PurePosixPath(info.filename), partial(zip_member, archive, info)


def zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The content of a file in a zip archive.

    Args:
        archive: opened.
        info: of the file.

    Raises:
        UNREADABLE: one of these, also where it holds more than ``LARGEST`` bytes.
    """
    _check_size(info.file_size)
    return archive.read(info)


def _check_size(size: int) -> None:
    if size > LARGEST:
        raise ValueError(f"it holds {size:,} bytes; at most {LARGEST:,} are read")
