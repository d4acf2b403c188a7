"""One picture file -> pixels, or the reason why not."""

import re
import struct
import warnings
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from os import cpu_count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from knowbound.data.preprocessing import Preprocessing

MAX_PIXELS = 100_000_000
"""A larger picture is taken for a decompression bomb: a small file that fills the memory."""
DECODING_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    MemoryError,
    OverflowError,
    struct.error,
    zlib.error,
    KeyError,
    IndexError,
    TypeError,
    Image.DecompressionBombError,
)
"""What Pillow's plugins raise for damaged files; anything else is a bug and is not caught."""
ENDINGS = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"}, "MPO": {".jpg", ".jpeg", ".mpo"}, "PNG": {".png", ".apng"}, "GIF": {".gif"},
    "TIFF": {".tif", ".tiff"}, "BMP": {".bmp", ".dib"}, "WEBP": {".webp"}, "PPM": {".ppm", ".pgm", ".pbm", ".pnm"},
}  # fmt: skip


class UnreadableImageError(Exception):
    """A file is no picture that can be used; the message is one short sentence without the path."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """One file: its image or None, why not or what to know about it, and the hash of its bytes ("" if it could not be read)."""

    image: NDArray[np.uint8] | None
    remark: str
    file_sha256: str


def open_picture(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[Image.Image, str]:
    """(the picture, decoded whole; a remark, or ""), judged by its content and not by its name.

    Of an animation the first frame is taken.  Raises UnreadableImageError for anything that is no usable picture.
    """
    try:
        return _open(path, max_pixels, None)
    except UnreadableImageError:
        raise
    except DECODING_ERRORS as error:
        raise UnreadableImageError(_reason(path, error)) from error


def decode(path: Path, preprocessing: Preprocessing, max_pixels: int = MAX_PIXELS) -> Decoded:
    """The file's image as (C, H, W) uint8 in the preprocessing's shape; never raises for a bad file."""
    digest = ""
    try:
        digest = file_hash(path)
        picture, remark = _open(path, max_pixels, (2 * preprocessing.width, 2 * preprocessing.height))
        return Decoded(preprocessing(picture), remark, digest)
    except UnreadableImageError as error:
        return Decoded(None, str(error), digest)
    except DECODING_ERRORS as error:
        return Decoded(None, _reason(path, error), digest)


def decode_all(
    paths: Sequence[Path], preprocessing: Preprocessing, *, workers: int | None = None, max_pixels: int = MAX_PIXELS
) -> Iterator[Decoded]:
    """Every file in order, decoded on several threads a bounded number of files ahead, so memory stays bounded."""
    workers = workers or min(16, cpu_count() or 1)
    waiting: deque[Future[Decoded]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        try:
            for path in paths:
                waiting.append(pool.submit(decode, path, preprocessing, max_pixels))
                if len(waiting) >= 8 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def read_files(
    paths: Sequence[Path], preprocessing: Preprocessing, *, workers: int | None = None
) -> Iterator[tuple[Path, NDArray[np.uint8] | None, str]]:
    """(path, image (C, H, W) or None, remark or the reason why there is none) of every file in order."""
    for path, decoded in zip(paths, decode_all(paths, preprocessing, workers=workers), strict=True):
        yield path, decoded.image, decoded.remark


def file_hash(path: Path) -> str:
    """SHA-256 of the file's bytes."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _open(path: Path, max_pixels: int, least: tuple[int, int] | None) -> tuple[Image.Image, str]:
    """least: a JPEG may be decoded at a half, a quarter or an eighth as long as it stays at least so large."""
    if path.stat().st_size == 0:
        raise UnreadableImageError("is empty (0 bytes)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd files are not for the terminal
        with Image.open(path) as picture:
            width, height = picture.size
            if width * height > max_pixels:
                raise UnreadableImageError(
                    f"is too large: {width} x {height} = {width * height:,} pixels, over the limit of {max_pixels:,}; "
                    "perhaps a decompression bomb"
                )
            remark = _remark(path, picture)
            if least and picture.format in ("JPEG", "MPO"):
                side = max(least)  # EXIF may turn the picture, so both sides stay at least so long
                picture.draft(picture.mode, (side, side))
            picture.load()
            return picture, remark


def _remark(path: Path, picture: Image.Image) -> str:
    remarks = []
    kind = picture.format or "picture"
    if kind in ENDINGS and path.suffix.lower() not in ENDINGS[kind]:
        remarks.append(f"is a {kind} in spite of its name")
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and kind != "MPO":
        remarks.append(f"has {frames} frames, of which only the first is used")
    return " and ".join(remarks)


def _reason(path: Path, error: BaseException) -> str:
    if isinstance(error, Image.DecompressionBombError):
        pixels = next((int(number) for number in re.findall(r"\d+", str(error))), 0)  # raised before the size can be asked for
        return f"is too large: {pixels:,} pixels, over the limit of {MAX_PIXELS:,}; perhaps a decompression bomb"
    if isinstance(error, UnidentifiedImageError):
        return "is not a picture, or of a kind that cannot be read"
    if isinstance(error, FileNotFoundError):
        return "is a link to a file that does not exist" if path.is_symlink() else "does not exist"
    if isinstance(error, PermissionError):
        return "may not be read (no permission)"
    if isinstance(error, IsADirectoryError):
        return "is a folder, not a file"
    if isinstance(error, MemoryError):
        return "is too large for the memory"
    words = str(error) or type(error).__name__
    if "truncated" in words or isinstance(error, EOFError):
        return "is truncated"
    return f"cannot be decoded: {words}"
