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
    content = archive.extractfile(member)
    return b"" if content is None else content.read()


def _in_zip(path: Path) -> Iterator[tuple[PurePosixPath, Callable[[], bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                yield PurePosixPath(info.filename), partial(archive.read, info)
