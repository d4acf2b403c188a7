"""One picture file -> its decoded pixels, or one short sentence why not; many of them on several
threads, in order."""

import os
import re
import stat
import struct
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from knowbound.data.preprocessing import Preprocessing

MAX_PIXELS = 100_000_000
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
BEGINNINGS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
ANIMATIONS = (
    "GIF",
    "PNG",
    "WEBP",
    "AVIF",
)  # the frames of other formats are pages, views of one scene (MPO) or layers (PSD)

T = TypeVar("T")
R = TypeVar("R")


class UnreadableImageError(Exception):
    """A file gives no picture.  The message is the reason, one short sentence without the file's
    name."""


UnreadableImage = UnreadableImageError


def open_picture(
    path: Path, max_pixels: int = MAX_PIXELS, shrink_to: tuple[int, int] | None = None
) -> tuple[Image.Image, str]:
    """The picture, decoded fully and upright, and a remark: "" or such as "named .jpg but holds a
    PNG".

    max_pixels: the most width x height a header may announce; shrink_to: (height, width) it will be
    resized to, so that a JPEG much larger may be decoded at a fraction of its size.  Raises
    UnreadableImageError.
    """
    picture, _, remark = decode(path, max_pixels, shrink_to)
    return picture, remark


def read_image(
    path: Path, preprocessing: Preprocessing, content: bytes | None = None
) -> tuple[NDArray[np.uint8], str]:
    """The image as the model takes it, (C, H, W) uint8, and the remark of ``open_picture``.

    content: the bytes of a file in an archive, of which ``path`` is the name alone.  Raises
    UnreadableImageError.
    """
    picture, _, remark = decode(
        path, shrink_to=(preprocessing.height, preprocessing.width), content=content
    )
    with _pillow_silenced():
        try:
            return preprocessing(picture), remark
        except Exception as error:
            raise UnreadableImageError(_reason(error)) from error


def read_files(
    paths: Sequence[Path], preprocessing: Preprocessing, *, workers: int | None = None
) -> Iterator[tuple[Path, NDArray[np.uint8] | None, str]]:
    """For each file, in order: its path, its image (C, H, W) or None, and its remark or the reason
    why there is no image.

    Only a few files are decoded ahead of the one asked for, so memory does not grow with their
    number.
    """

    def read(path: Path) -> tuple[Path, NDArray[np.uint8] | None, str]:
        try:
            return path, *read_image(path, preprocessing)
        except UnreadableImageError as error:
            return path, None, str(error)

    return in_order(read, paths, workers)


def in_order(
    function: Callable[[T], R], items: Iterable[T], workers: int | None = None
) -> Iterator[R]:
    """``function`` of each item, in order, computed on threads (Pillow frees the GIL while it
    decodes) a few items ahead."""
    workers = workers or min(8, os.cpu_count() or 1)
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
) -> tuple[Image.Image, tuple[int, int], str]:
    """What ``open_picture`` gives, with the upright picture's (height, width) before any shrinking
    in between.

    content: as in ``read_image``.
    """
    with _open(path) if content is None else _open_content(content) as file, _pillow_silenced():
        try:
            picture = _identify(file, str(path))
            _check_header(picture, max_pixels)
            remarks = [_extension_remark(path, picture), _frames_remark(picture, file)]
            width, height = picture.size
            if shrink_to and picture.format == "JPEG":
                # A multiple of an eighth, decoded at least twice as large as needed: the
                # antialiased resizing that follows still decides the pixels.  A square, since EXIF
                # may turn the picture.  No mode: colours are converted later.
                picture.draft(None, (2 * max(shrink_to), 2 * max(shrink_to)))
            picture.load()
            _check_range(picture)
            before = picture.size
            upright, remark = _upright(picture)
            size = (height, width) if upright.size == before else (width, height)
            return upright, size, "; ".join(filter(None, [*remarks, remark]))
        except UnreadableImageError:
            raise
        except Exception as error:  # Pillow raises nearly everything: OSError, SyntaxError, struct.error, MemoryError, ...
            raise UnreadableImageError(_reason(error)) from error


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
    for beginning, format_name in BEGINNINGS.items():
        if start.startswith(beginning):
            raise UnreadableImageError(
                f"begins as a {format_name}, but its header is broken or cut off"
            )
    raise UnreadableImageError("not a picture (of no format that can be read)")


def _check_header(picture: ImageFile.ImageFile, max_pixels: int) -> None:
    width, height = picture.size
    if width * height > max_pixels:
        raise UnreadableImageError(
            f"too large: its header says {width} x {height} = {width * height} pixels, over the "
            f"limit of {max_pixels}: perhaps a decompression bomb"
        )
    if picture.mode == "F":
        raise UnreadableImageError(
            "floating-point pixels, whose range nothing tells; save it as 8 or 16 bits"
        )


def _check_range(picture: Image.Image) -> None:
    """32-bit integers are taken as the 16 bits they nearly always hold; where they hold more, the
    picture would saturate."""
    if picture.mode == "I":
        lowest, highest = picture.getextrema()
        if lowest < 0 or highest > 65535:  # type: ignore[operator]  # numbers, as the picture has one band
            raise UnreadableImageError(
                f"integer pixels in {lowest}..{highest}, beyond 16 bits; save it as 8 or 16 bits"
            )


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


def _reason(error: Exception) -> str:
    if isinstance(
        error, Image.DecompressionBombError
    ):  # frames, tiles and WebP files, which Pillow checks by itself
        return "too large: its header announces far more pixels than a picture has: perhaps a decompression bomb"
    if isinstance(error, MemoryError):
        return "cannot be decoded: not enough memory"
    text = next(iter(str(error).splitlines()), "") or type(error).__name__
    if isinstance(error, EOFError) or re.search("truncat", text, re.IGNORECASE):
        return "truncated: the file ends before the picture does"
    return f"cannot be decoded: {text}"


_lock = threading.Lock()
_silencing = 0


@contextmanager
def _pillow_silenced() -> Iterator[None]:
    """No warning of Pillow while at least one thread is in here.

    Not ``warnings.catch_warnings``: it puts back a whole list at its end, so that threads would
    undo each other's.
    """
    global _silencing
    with _lock:
        _silencing += 1
        if _silencing == 1:
            warnings.filterwarnings("ignore", module=r"PIL\.")
            _rule.append(warnings.filters[0])
    try:
        yield
    finally:
        with _lock:
            _silencing -= 1
            if _silencing == 0:
                rule = _rule.pop()
                if rule in warnings.filters:
                    warnings.filters.remove(rule)  # type: ignore[attr-defined]


_rule: list[object] = []
