"""One file -> the reader of its format, or one short sentence why there is none."""

import os
import stat
import struct
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageFile

from knowbound.data.pictures.heic import open_heic
from knowbound.data.pictures.picture_format import LOOKED_AT, is_heic, name_format

# Only formats of pixels, all decoded inside this process: Pillow would hand an EPS file to another
# program.
FORMATS = (
    "PNG",
    "JPEG",
    "GIF",
    "WEBP",
    "BMP",
    "TIFF",
    "PPM",
    "AVIF",
    "JPEG2000",
    "DIB",
    "ICO",
    "PCX",
    "SGI",
    "QOI",
    "PSD",
    "DDS",
    "TGA",
)


class UnreadableImageError(Exception):
    """A file gives no picture.  The message is the reason, one short sentence without the file's
    name."""


def open_file(path: Path) -> BinaryIO:
    """The file, opened.  Raises UnreadableImageError for what is no file, is empty or forbidden."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            os.listdir(path)
            raise UnreadableImageError("a folder, where a picture file was expected")
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise UnreadableImageError("not a regular file (a pipe, socket or device)")
        if status.st_size == 0:
            raise UnreadableImageError("empty: the file has 0 bytes")
        return path.open("rb")
    except FileNotFoundError as error:
        broken = "a broken link: what it points to does not exist"
        raise UnreadableImageError(
            broken if path.is_symlink() else "the file does not exist"
        ) from error
    except PermissionError as error:
        raise UnreadableImageError("no permission to read it") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in a path
        reason = error.strerror if isinstance(error, OSError) else None
        raise UnreadableImageError(f"cannot be opened: {reason or error}") from error


def open_content(content: bytes) -> BinaryIO:
    """The bytes as a file.  Raises UnreadableImageError where there are none."""
    if not content:
        raise UnreadableImageError("empty: the file has 0 bytes")
    return BytesIO(content)


def identify(file: BinaryIO, name: str) -> ImageFile.ImageFile:
    """The picture with its header read.  ``Image.open`` would do, but warns and raises by a pixel
    limit of its own."""
    Image.init()
    start = file.read(16)
    for name_of_format in FORMATS:
        factory, accept = Image.OPEN.get(name_of_format, (None, None))
        if factory is None:
            continue
        try:
            accepted = accept is None or accept(start)
            if isinstance(accepted, str):  # Pillow was built without this format
                raise UnreadableImageError(f"cannot be decoded: {accepted}")
            if accepted:
                file.seek(0)
                return factory(file, name)
        except (SyntaxError, IndexError, TypeError, struct.error):  # not this format
            continue
    file.seek(0)
    if is_heic(start):
        return open_heic(file, name)
    raise UnreadableImageError(name_format(file.read(LOOKED_AT)))


def identify_again(file: BinaryIO) -> ImageFile.ImageFile:
    """A second reader of the same picture, from bytes of its own."""
    place = file.tell()
    file.seek(0)
    content = BytesIO(file.read())
    file.seek(place)
    return identify(content, "")
