"""Picture files -> images as the model takes them, many of them on several threads, in order."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from knowbound.data.pictures.decoding import (
    MAX_PIXELS,
    decode_held,
    open_picture,
    reason_of,
)
from knowbound.data.pictures.identification import UnreadableImageError, open_file
from knowbound.data.pictures.library_words import overheard, silenced
from knowbound.data.pictures.remarks import cut_remark
from knowbound.data.preprocessing import Picture, Preprocessing, UnknownRangeError

__all__ = [
    "MAX_PIXELS",
    "DecodedImage",
    "Given",
    "UnreadableImageError",
    "in_order",
    "open_picture",
    "read_bytes",
    "read_decoded",
    "read_files",
    "read_given",
    "read_image",
    "usual_workers",
]

READ_WHOLE = 16 * 1024**2
"""Bytes of a file up to which it is read in one piece."""
QUICK = 0.0005
"""Seconds of work up to which two threads read pictures no faster than one does: one of 28 x 28 pixels takes
half of it, a JPEG of 256 x 256 more."""
SHARED = 4
"""How many times as long a picture may take by the clock and count as quick: others use the cores."""
MANY = 1000
"""Pictures that are read on threads before one thread is tried again."""
GROUP = 32
"""Quick pictures that are read in one go: whoever hands over less, waits more than it reads where
other programs want the cores."""
LATEST = 9
"""Groups of pictures whose median tells whether they are quick: the first ones also load what reads
them, and a busy machine makes any one slow."""

T = TypeVar("T")
R = TypeVar("R")


class Given(NamedTuple):
    """One picture that was given.

    Args:
        path: of the file; of one in an archive or a Parquet file the path of that, and below it the
            name or the number of the row.
        content: its bytes where it is in no file of its own.
        problem: why there is no content; "" where there is, or where it is in a file of its own.
    """

    path: Path
    content: bytes | None = None
    problem: str = ""


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
    with overheard() as words, ExitStack() as stack:
        picture, size, remark = decode_held(
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
            raise UnreadableImageError(reason_of(error, words)) from error
        remarks = filter(None, [remark, cut_remark(picture, preprocessing)])
        return DecodedImage(image, picture, size, "; ".join(remarks))


def read_bytes(path: Path, most: int = READ_WHOLE) -> bytes | None:
    """The content of a file, or None where it has more than ``most`` bytes.

    Raises:
        UnreadableImageError: where it cannot be opened, or is no file.
    """
    with open_file(path) as file:
        return file.read() if os.fstat(file.fileno()).st_size <= most else None


def read_files(
    paths: Iterable[Path],
    preprocessing: Preprocessing,
    *,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[tuple[Path, NDArray[np.uint8] | None, str]]:
    """For each file, in order: its path, its image (C, H, W) or None, and its remark or the reason
    why there is no image; as ``read_given``."""
    return read_given(map(Given, paths), preprocessing, workers=workers, max_pixels=max_pixels)


def read_given(
    pictures: Iterable[Given],
    preprocessing: Preprocessing,
    *,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[tuple[Path, NDArray[np.uint8] | None, str]]:
    """For each picture, in order: its path, its image (C, H, W) or None, and its remark or the
    reason why there is no image.

    Only a few are taken and decoded ahead of the one asked for, so memory does not grow with their
    number.

    Args:
        pictures: taken in the calling thread, one after the other.
        preprocessing: settled.
        workers: threads that decode, by default one for each core up to 8.
        max_pixels: the most width x height a header may announce.
    """

    def read(given: Given) -> tuple[Path, NDArray[np.uint8] | None, str]:
        if given.problem:
            return given.path, None, given.problem
        try:
            return given.path, *read_image(
                given.path, preprocessing, given.content, max_pixels=max_pixels
            )
        except UnreadableImageError as error:
            return given.path, None, str(error)

    return in_order(read, pictures, workers)


def in_order(
    function: Callable[[T], R], items: Iterable[T], workers: int | None = None
) -> Iterator[R]:
    """``function`` of each item, in order, computed on threads (Pillow frees the GIL while it
    decodes) a few items ahead.

    One thread computes, in groups of up to ``GROUP``, while an item takes it less than ``QUICK`` as a rule: small
    pictures are mostly work that needs the GIL, and threads that wait for it take twice as long.

    Args:
        function: of an item.
        items: taken in the calling thread, one after the other.
        workers: threads, by default one for each core up to 8.
    """
    workers = workers or usual_workers()
    left = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        for item in left:
            again = chain([item], left)
            yield from _while_quick(function, again, pool)
            yield from _on_threads(function, islice(again, MANY), pool, 4 * workers)


def _while_quick(
    function: Callable[[T], R], items: Iterator[T], pool: ThreadPoolExecutor
) -> Iterator[R]:
    """Results for as long as an item is quick, of one group at a time beside the caller's work.

    What counts is the processor's time: on a busy machine a thread waits for a core, and a second
    one would wait for it too.  Far longer waits are those for a disk, which several threads share.
    """

    def compute(group: list[T]) -> tuple[list[R], float]:
        worked, started = time.thread_time(), time.perf_counter()
        with silenced():
            results = [function(item) for item in group]
        took = max(time.thread_time() - worked, (time.perf_counter() - started) / SHARED)
        return results, took

    size, took = 1, deque[float](maxlen=LATEST)
    waiting = pool.submit(compute, list(islice(items, size)))
    while results := waiting.result()[0]:
        took.append(waiting.result()[1] / len(results))
        if len(took) == LATEST and median(took) >= QUICK:
            yield from results
            return
        size = min(2 * size, GROUP) if took[-1] < QUICK else 1
        waiting = pool.submit(compute, list(islice(items, size)))
        try:
            yield from results
        except GeneratorExit:
            waiting.cancel()
            raise


def _on_threads(
    function: Callable[[T], R], items: Iterator[T], pool: ThreadPoolExecutor, ahead: int
) -> Iterator[R]:
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # whoever stops early waits only for what has begun
        for future in waiting:
            future.cancel()


def usual_workers() -> int:
    """Threads that decode where no number was given: one for each core up to 8."""
    return min(8, os.cpu_count() or 1)
