"""HEIC pictures, through pillow-heif where it is installed."""

from typing import BinaryIO

from PIL import ImageFile

from knowbound.data.pictures.picture_format import HEIC


class NoHeicReaderError(Exception):
    """A HEIC picture cannot be read here.  The message says what to install, or to convert."""


def open_heic(file: BinaryIO, name: str) -> ImageFile.ImageFile:
    """The picture with its header read.

    Raises:
        NoHeicReaderError: where pillow-heif is not installed.
        SyntaxError: for a file that is broken.
    """
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise NoHeicReaderError(
            f"{HEIC}; pip install 'knowbound[heic]' to read it, or convert it to JPEG"
        ) from error
    picture: ImageFile.ImageFile = HeifImageFile(file, name)
    return picture
