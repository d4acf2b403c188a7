"""One picture file -> its decoded pixels, or one short sentence why not; many of them on several
threads, in order."""

import os
import re
import stat
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from knowbound.data.pictures.heic import NoHeicReaderError, open_heic
from knowbound.data.pictures.library_words import listen_to_libtiff, overheard
from knowbound.data.pictures.memory_gate import GATE
from knowbound.data.pictures.picture_format import LOOKED_AT, is_heic, name_format
from knowbound.data.pictures.png_text import without_long_text
from knowbound.data.pictures.tiff_values import UnknownTiffError, read_header, read_values
from knowbound.data.pictures.wide_colour import join_bytes, read_other_bytes, wide_kind
from knowbound.data.preprocessing import Picture, Preprocessing, UnknownRangeError, wide_values

MAX_PIXELS = 100_000_000
SHRUNK = 4
"""How many times ``max_pixels`` the header of a JPEG may announce that is decoded at a fraction of
its size: what a phone of 200 megapixels takes."""
CUT = 0.01
"""The share of a picture's values beyond the range from which on it is said."""
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
JPEGS = ("JPEG", "MPO")
READ_WHOLE = 16 * 1024**2
"""Bytes of a file up to which it is read in one piece."""
SIXTEEN_BITS = "sixteen bits"
"""Is in ``info`` of a picture whose file has 16 bits for each colour, made 8 by Pillow."""
# The frames of other formats are pages, views of one scene (MPO) or layers (PSD).
ANIMATIONS = ("GIF", "PNG", "WEBP", "AVIF")

T = TypeVar("T")
R = TypeVar("R")


class UnreadableImageError(Exception):
    """A file gives no picture.  The message is the reason, one short sentence without the file's
    name."""


UnreadableImage = UnreadableImageError


class DecodedImage(NamedTuple):
    """One picture read.

    Args:
        image: (C, H, W) uint8.
        picture: from which it was made; of a large JPEG decoded at a fraction of its size.
        size: (height, width) of the upright picture in its file.
        remark: "" or what to know about the file.
    """

    image: NDArray[np.uint8]
    picture: Picture
    size: tuple[int, int]
    remark: str


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


def read_image(
    path: Path,
    preprocessing: Preprocessing,
    content: bytes | None = None,
    max_pixels: int = MAX_PIXELS,
) -> tuple[NDArray[np.uint8], str]:
    """The image as the model takes it, (C, H, W) uint8, and the remark of ``open_picture``.

    Args:
        path: the file, or the name alone of one in an archive.
        preprocessing: settled.
        content: the bytes of a file in an archive.
        max_pixels: the most width x height a header may announce.

    Raises:
        UnreadableImageError: the reason why there is no image.
    """
    read = read_decoded(path, preprocessing, content, max_pixels)
    return read.image, read.remark


def read_decoded(
    path: Path,
    preprocessing: Preprocessing,
    content: bytes | None = None,
    max_pixels: int = MAX_PIXELS,
) -> DecodedImage:
    """What ``read_image`` gives, with the decoded picture between, and its size."""
    preprocessing.check_settled()
    with ExitStack() as stack:
        words = stack.enter_context(overheard())
        picture, size, remark = _decode(
            path,
            max_pixels,
            (preprocessing.height, preprocessing.width),
            content,
            preprocessing.range != "full",
            stack,
            words,
        )
        try:
            image = preprocessing.convert_upright(picture)
        except UnknownRangeError as error:
            raise UnreadableImageError(str(error)) from error
        except Exception as error:
            raise UnreadableImageError(_reason(error, words)) from error
        remarks = filter(None, [remark, _cut_remark(picture, preprocessing)])
        return DecodedImage(image, picture, size, "; ".join(remarks))


def read_files(
    paths: Sequence[Path],
    preprocessing: Preprocessing,
    *,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[tuple[Path, NDArray[np.uint8] | None, str]]:
    """For each file, in order: its path, its image (C, H, W) or None, and its remark or the reason
    why there is no image.

    Only a few files are decoded ahead of the one asked for, so memory does not grow with their
    number.
    """

    def read(path: Path) -> tuple[Path, NDArray[np.uint8] | None, str]:
        try:
            return path, *read_image(path, preprocessing, max_pixels=max_pixels)
        except UnreadableImageError as error:
            return path, None, str(error)

    return in_order(read, paths, workers)


def usual_workers() -> int:
    """Threads that decode where no number was given: one for each core up to 8."""
    return min(8, os.cpu_count() or 1)


def in_order(
    function: Callable[[T], R], items: Iterable[T], workers: int | None = None
) -> Iterator[R]:
    """``function`` of each item, in order, computed on threads (Pillow frees the GIL while it
    decodes) a few items ahead."""
    workers = workers or usual_workers()
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # whoever stops early waits only for what has begun
            for future in waiting:
                future.cancel()


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
    with ExitStack() as stack:
        words = stack.enter_context(overheard())
        return _decode(path, max_pixels, shrink_to, content, wide, stack, words)


def read_bytes(path: Path, most: int = READ_WHOLE) -> bytes | None:
    """The content of a file, or None where it has more than ``most`` bytes.

    Raises:
        UnreadableImageError: where it cannot be opened, or is no file.
    """
    with _open(path) as file:
        return file.read() if os.fstat(file.fileno()).st_size <= most else None


def bytes_to_read(path: Path, shrink_to: tuple[int, int]) -> int:
    """About the bytes that decoding a picture takes, from its header alone.

    Args:
        path: the file.
        shrink_to: as in ``decode``.

    Raises:
        UnreadableImageError: for a file whose header cannot be read.
    """
    with overheard() as words, _open(path) as file:
        try:
            picture = _identify(file, str(path))
            header = picture.size
            _draft(picture, shrink_to)
            return _bytes_to_decode(picture, header)
        except UnreadableImageError:
            raise
        except Exception as error:
            raise UnreadableImageError(_reason(error, words)) from error


def _decode(
    path: Path,
    max_pixels: int,
    shrink_to: tuple[int, int] | None,
    content: bytes | None,
    wide: bool,
    stack: ExitStack,
    words: list[str],
) -> tuple[Picture, tuple[int, int], str]:
    """stack: holds the memory for the picture until it is closed; words: what is overheard."""
    with _open(path) if content is None else _open_content(content) as file:
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
                return _decode(path, max_pixels, shrink_to, retried, wide, stack, words)
            raise UnreadableImageError(_reason(error, words)) from error
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
        picture = _identify(file, str(path))
    except UnreadableImageError:
        values = _tiff_values(file, max_pixels, stack)
        if values is None:
            raise
        return values[0], (values[0].shape[0], values[0].shape[1]), values[1]
    remarks = [_extension_remark(path, picture), _frames_remark(picture, file)]
    width, height = picture.size
    _draft(picture, shrink_to)
    _check_pixels((width, height), picture.size, max_pixels)
    stack.enter_context(GATE.reserve(_bytes_to_decode(picture, (width, height))))
    kind = wide_kind(picture)
    if kind and not wide:
        picture.info[SIXTEEN_BITS] = True
        kind = ""
    if kind and picture.format == "TIFF":
        values = _tiff_values(file, max_pixels, stack)
        if values is not None:
            return values[0], (values[0].shape[0], values[0].shape[1]), values[1]
    other = _identify_again(file) if kind else None
    if picture.format == "TIFF":
        listen_to_libtiff()
    picture.load()
    before = picture.size
    upright, remark = _upright(picture)
    size = (height, width) if upright.size == before else (width, height)
    shown: Picture = upright
    if other is not None:
        read_other_bytes(other, kind)
        shown = join_bytes(upright, _upright(other)[0], kind)
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


def _identify_again(file: BinaryIO) -> ImageFile.ImageFile:
    """A second reader of the same picture, from bytes of its own."""
    place = file.tell()
    file.seek(0)
    content = BytesIO(file.read())
    file.seek(place)
    return _identify(content, "")


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
        stack.enter_context(GATE.reserve(3 * header.nbytes))
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


def _open(path: Path) -> BinaryIO:
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
        raise UnreadableImageError(
            f"cannot be opened: {getattr(error, 'strerror', None) or error}"
        ) from error


def _open_content(content: bytes) -> BinaryIO:
    if not content:
        raise UnreadableImageError("empty: the file has 0 bytes")
    return BytesIO(content)


def _identify(file: BinaryIO, name: str) -> ImageFile.ImageFile:
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


def _cut_remark(picture: Picture, preprocessing: Preprocessing) -> str:
    """How much of a picture lies beyond the range that is shown."""
    if isinstance(preprocessing.range, str):
        return ""
    values = wide_values(picture)
    if values is None:
        return ""
    low, high = preprocessing.range
    share = float(np.mean((values < low) | (values > high)))
    if share <= CUT:
        return ""
    return f"{share:.0%} of its values lie beyond the range {low:g} to {high:g} and are cut"


def _upright(picture: Image.Image) -> tuple[Image.Image, str]:
    """The picture turned as its EXIF says.  Broken EXIF costs the rotation, not the picture."""
    try:
        ImageOps.exif_transpose(picture, in_place=True)
        return picture, ""
    except Exception:
        bare = picture.copy()
        for key in ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"):
            bare.info.pop(key, None)
        return bare, "its EXIF data are broken: it may stand on its side"


def _extension_remark(path: Path, picture: ImageFile.ImageFile) -> str:
    alike = {"MPO": "JPEG", "DIB": "BMP"}
    expected = Image.registered_extensions().get(path.suffix.lower())
    found = alike.get(picture.format or "", picture.format or "")
    if expected is None or alike.get(expected, expected) == found:
        return ""
    return f"named {path.suffix} but holds {'an' if found[0] in 'AIS' else 'a'} {found}"


def _frames_remark(picture: ImageFile.ImageFile, file: BinaryIO) -> str:
    if picture.format not in (*ANIMATIONS, "TIFF"):
        return ""
    if picture.format in (
        "GIF",
        "TIFF",
    ):  # counting walks through the file: by another reader, so that this one stays at frame 1
        place = file.tell()
        file.seek(0)
        frames = _count_frames(_identify(file, ""))
        file.seek(place)
    else:
        frames = _count_frames(picture)
    if frames == 1:
        return ""
    if picture.format == "TIFF":
        return f"has {frames or 'several'} pages: only its first is used"
    return f"animated: only its first of {frames or 'several'} frames is used"


def _count_frames(picture: ImageFile.ImageFile) -> int:
    """How many frames there are, or 0 where the later ones are broken."""
    try:
        return int(getattr(picture, "n_frames", 1))
    except Exception:
        return 0


def _reason(error: Exception, words: Sequence[str] = ()) -> str:
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
