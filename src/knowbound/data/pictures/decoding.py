"""The bytes of one picture -> its pixels, upright, or one short sentence why not."""

import re
import struct
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from knowbound.data.pictures.heic import NoHeicReaderError
from knowbound.data.pictures.identification import (
    UnreadableImageError,
    identify,
    identify_again,
    open_content,
    open_file,
)
from knowbound.data.pictures.library_words import listen_to_libtiff, overheard
from knowbound.data.pictures.memory_gate import GATE
from knowbound.data.pictures.png_text import without_long_text
from knowbound.data.pictures.remarks import extension_remark, frames_remark, turn_upright
from knowbound.data.pictures.tiff_values import UnknownTiffError, read_header, read_values
from knowbound.data.pictures.wide_colour import join_bytes, read_other_bytes, wide_kind
from knowbound.data.preprocessing import Picture, with_transparent

MAX_PIXELS = 100_000_000
SHRUNK = 4
"""How many times ``max_pixels`` the header of a JPEG may announce that is decoded at a fraction of
its size: what a phone of 200 megapixels takes."""
JPEGS = ("JPEG", "MPO")
SIXTEEN_BITS = "sixteen bits"
"""Is in ``info`` of a picture whose file has 16 bits for each colour, made 8 by Pillow."""


def open_picture(
    path: Path,
    max_pixels: int = MAX_PIXELS,
    shrink_to: tuple[int, int] | None = None,
    content: bytes | None = None,
) -> tuple[Image.Image, str]:
    """The picture, decoded fully and upright, and a remark: "" or such as "named .jpg but holds a
    PNG".

    Args:
        path: the file, or the name alone of one in an archive.
        max_pixels: the most width x height a header may announce.
        shrink_to: (height, width) it will be resized to, so that a much larger JPEG may be decoded
            at a fraction of its size (``decode``).
        content: the bytes of a file in an archive.

    Raises:
        UnreadableImageError: also for bands that only a ``Preprocessing`` with a range can show.
    """
    picture, _, remark = decode(path, max_pixels, shrink_to, content)
    if isinstance(picture, np.ndarray):
        raise UnreadableImageError(
            f"{picture.shape[2]} bands of {picture.dtype}; save it as 8 or 16 bits"
        )
    return picture, remark


def decode(
    path: Path,
    max_pixels: int = MAX_PIXELS,
    shrink_to: tuple[int, int] | None = None,
    content: bytes | None = None,
    wide: bool = False,
) -> tuple[Picture, tuple[int, int], str]:
    """The upright picture, its (height, width) before any shrinking, and the remark.

    A JPEG larger than ``shrink_to`` is decoded at the smallest of 1/8, 1/4, 1/2 and 1 of its size
    at which both its sides are still at least twice the longer side of ``shrink_to``, so that the
    antialiased resizing that follows decides the pixels.  Smaller ones are decoded whole.

    Args:
        path: the file, or the name alone of one in an archive.
        max_pixels: the most pixels that are decoded.  A header that announces more is refused; for
            a JPEG that is decoded at a fraction, one that announces four times as many.
        shrink_to: (height, width) it will be resized to.
        content: the bytes of a file in an archive.
        wide: whether colours of 16 bits are wanted as such, and not as the 8 bits that Pillow makes
            of them.

    Returns:
        The picture, or its values (H, W, B) where Pillow has no mode for them; the size; the
        remark, "" for none.

    Raises:
        UnreadableImageError: the reason why there is no picture.
    """
    with overheard() as words, ExitStack() as stack:
        return decode_held(path, max_pixels, shrink_to, content, wide, stack, words)


def bytes_to_read(path: Path, shrink_to: tuple[int, int]) -> int:
    """About the bytes that decoding a picture takes, from its header alone.

    Args:
        path: the file.
        shrink_to: as in ``decode``.

    Raises:
        UnreadableImageError: for a file whose header cannot be read.
    """
    with overheard() as words, open_file(path) as file:
        try:
            picture = identify(file, str(path))
            header = picture.size
            _draft(picture, shrink_to)
            return _bytes_to_decode(picture, header)
        except UnreadableImageError:
            raise
        except Exception as error:
            raise UnreadableImageError(reason_of(error, words)) from error


def decode_held(
    path: Path,
    max_pixels: int,
    shrink_to: tuple[int, int] | None,
    content: bytes | None,
    wide: bool,
    stack: ExitStack,
    words: list[str],
) -> tuple[Picture, tuple[int, int], str]:
    """stack: holds the memory for the picture until it is closed; words: what is overheard."""
    with open_file(path) if content is None else open_content(content) as file:
        try:
            found = _load(file, path, max_pixels, shrink_to, wide, stack)
        except UnreadableImageError:
            raise
        except NoHeicReaderError as error:
            raise UnreadableImageError(str(error)) from error
        # Pillow raises nearly everything: OSError, SyntaxError, struct.error, MemoryError, ...
        except Exception as error:
            retried = _without_long_text(file, error)
            if retried is not None:
                return decode_held(path, max_pixels, shrink_to, retried, wide, stack, words)
            raise UnreadableImageError(reason_of(error, words)) from error
    picture, size, remark = found
    damage = f"damaged in part: {words[0]}" if words else ""
    return picture, size, "; ".join(filter(None, [remark, damage]))


def _load(
    file: BinaryIO,
    path: Path,
    max_pixels: int,
    shrink_to: tuple[int, int] | None,
    wide: bool,
    stack: ExitStack,
) -> tuple[Picture, tuple[int, int], str]:
    try:
        picture = identify(file, str(path))
    except UnreadableImageError:
        values = _tiff_values(file, max_pixels, stack)
        if values is None:
            raise
        return values[0], (values[0].shape[0], values[0].shape[1]), values[1]
    remarks = [extension_remark(path, picture), frames_remark(picture, file)]
    width, height = picture.size
    _draft(picture, shrink_to)
    _check_pixels((width, height), picture.size, max_pixels)
    kind = wide_kind(picture)
    if kind and not wide:
        picture.info[SIXTEEN_BITS] = True
        key = picture.info.get("transparency")
        if isinstance(key, tuple):  # of the first eight bits, as the values that are read
            picture.info["transparency"] = tuple(value >> 8 for value in key)
        kind = ""
    if kind and picture.format == "TIFF":
        values = _tiff_values(file, max_pixels, stack)
        if values is not None:
            return values[0], (values[0].shape[0], values[0].shape[1]), values[1]
    GATE.reserve_in(stack, _bytes_to_decode(picture, (width, height)))
    other = identify_again(file) if kind else None
    if picture.format == "TIFF":
        listen_to_libtiff()
    picture.load()
    before = picture.size
    upright, remark = turn_upright(picture)
    size = (height, width) if upright.size == before else (width, height)
    shown: Picture = upright
    if other is not None:
        read_other_bytes(other, kind)
        joined = join_bytes(upright, turn_upright(other)[0], kind)
        shown = with_transparent(joined, picture.info.get("transparency"))
    return shown, size, "; ".join(filter(None, [*remarks, remark]))


def _draft(picture: ImageFile.ImageFile, shrink_to: tuple[int, int] | None) -> None:
    """Have a large JPEG decoded at a fraction.  A square, since EXIF may turn the picture.  No
    mode: colours are converted later."""
    if shrink_to and picture.format in JPEGS:
        picture.draft(None, (2 * max(shrink_to), 2 * max(shrink_to)))


def _bytes_to_decode(picture: ImageFile.ImageFile, header: tuple[int, int]) -> int:
    """About the bytes that decoding and converting take: Pillow has 4 for a pixel in colour, and a
    progressive JPEG keeps all its coefficients."""
    pixels = picture.size[0] * picture.size[1]
    coefficients = header[0] * header[1] * 6 if "progressive" in picture.info else 0
    return pixels * 8 + coefficients


def _tiff_values(
    file: BinaryIO, max_pixels: int, stack: ExitStack
) -> tuple[NDArray[np.generic], str] | None:
    """The values of a TIFF for which Pillow has no mode, and a remark; None for another file."""
    file.seek(0)
    if not re.match(rb"II[*+]\0|MM\0[*+]", file.read(4)):
        return None
    try:
        header = read_header(file)
        height, width = header.size
        _check_pixels((width, height), (width, height), max_pixels)
        GATE.reserve_in(stack, 3 * header.nbytes)
        return read_values(file, header)
    except UnknownTiffError as error:
        raise UnreadableImageError(
            f"a TIFF of a kind that is not read ({error}); save it as 8 or 16 bits in grey or RGB"
        ) from error
    except (ValueError, IndexError, KeyError, struct.error, zlib.error):
        return None


def _without_long_text(file: BinaryIO, error: Exception) -> bytes | None:
    """The PNG without the text that is more than Pillow reads; None where that was not the
    trouble."""
    if not isinstance(error, ValueError):
        return None
    file.seek(0)
    return without_long_text(file.read())


def _check_pixels(header: tuple[int, int], decoded: tuple[int, int], max_pixels: int) -> None:
    """Raises UnreadableImageError where more would be decoded than ``max_pixels``.

    Args:
        header: (width, height) that the file announces.
        decoded: (width, height) at which it is decoded.
        max_pixels: of which a picture decoded at a fraction may announce ``SHRUNK`` times as many.
    """
    announced = header[0] * header[1]
    allowed = max_pixels if decoded == header else SHRUNK * max_pixels
    if announced > allowed or decoded[0] * decoded[1] > max_pixels:
        raise UnreadableImageError(
            f"too large: its header says {header[0]} x {header[1]} = {announced} pixels, over the "
            f"limit of {allowed}: perhaps a decompression bomb; allow more with --max-pixels if "
            "you trust it"
        )


def reason_of(error: Exception, words: Sequence[str] = ()) -> str:
    """One short sentence for what Pillow raised.  words: what a library said before."""
    if isinstance(
        error, Image.DecompressionBombError
    ):  # frames, tiles and WebP files, which Pillow checks by itself
        return "too large: its header announces far more pixels than a picture has: perhaps a decompression bomb"
    if isinstance(error, MemoryError):
        return "cannot be decoded: not enough memory"
    text = next(iter(str(error).splitlines()), "") or type(error).__name__
    if isinstance(error, EOFError) or re.search("truncat", text, re.IGNORECASE):
        return "truncated: the file ends before the picture does"
    return f"cannot be decoded: {words[0] if words else text}"
