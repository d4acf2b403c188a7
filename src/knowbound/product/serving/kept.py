"""Rejected pictures, kept in a folder for someone to look at, up to a bound."""

import contextlib
import hashlib
import logging
import queue
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from knowbound.data.pictures.identification import UnreadableImageError, identify
from knowbound.files import check_writable, replace_file
from knowbound.files.lock import locked
from knowbound.labels import Decision

WAITING, WAITING_BYTES = 64, 64 * 1024**2
"""Pictures that wait for the disk, and their bytes; more are not kept."""
PARTIAL = re.compile(r"\..+\.partial")
"""What a process that was killed leaves of the one picture it was writing."""
ENDINGS = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2"}
logger = logging.getLogger("knowbound.serving")


class _Picture(NamedTuple):
    content: bytes
    decision: Decision


class Kept:
    """Keeps rejected pictures as ``folder/novelty/...`` and ``folder/anomaly/...``.

    Each is stored as it came, once, under the beginning of its SHA-256.  Nothing is ever removed:
    at the bound no more is kept until someone has moved pictures out and the service starts again.
    Writing happens on a thread of its own; a disk that is slow or full delays and refuses no
    answer.

    Args:
        folder: is made where it is missing, and belongs to this process until ``stop``.
        most: pictures in it.
        most_bytes: of all its pictures.
        on_kept: is told what became of every picture.
    """

    def __init__(
        self, folder: Path, *, most: int, most_bytes: int, on_kept: Callable[[str], object]
    ) -> None:
        self._folder, self._most, self._most_bytes = folder, most, most_bytes
        self._on_kept = on_kept
        check_writable(folder)
        _sweep(folder)
        sizes = [path.stat().st_size for path in _pictures(folder)]
        self.count, self.bytes = len(sizes), sum(sizes)
        self._waiting: queue.Queue[_Picture | None] = queue.Queue(WAITING)
        self._held, self._lock = 0, threading.Lock()
        self._said: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="knowbound-kept", daemon=True)
        self._thread.start()

    def offer(self, content: bytes, decision: Decision) -> None:
        """Keep a picture, if there is room; returns at once.

        Args:
            content: of its file.
            decision: what was said of it; known pictures are not kept.
        """
        if decision is Decision.KNOWN:
            return
        with self._lock:
            fits = self._held + len(content) <= WAITING_BYTES or not self._held
            if fits and not self._waiting.full():
                self._held += len(content)
                self._waiting.put_nowait(_Picture(content, decision))
                return
        self._on_kept("busy")

    def stop(self) -> None:
        """Write what waits, and end."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (picture := self._waiting.get()) is not None:
            try:
                outcome = self._keep(picture)
            except Exception as error:  # one picture that fails must not end the keeping of others
                outcome = "failed"
                self._warn("failed", f"a rejected picture was not kept: {error}")
            with self._lock:
                self._held -= len(picture.content)
            self._on_kept(outcome)

    def _keep(self, picture: _Picture) -> str:
        """What became of it."""
        size = len(picture.content)
        name = hashlib.sha256(picture.content).hexdigest()[:16] + _ending(picture.content)
        path = self._folder / str(picture.decision) / name
        if path.exists():
            return "there"
        if self.count >= self._most or self.bytes + size > self._most_bytes:
            self._warn("full", f"{self._folder} is full: no more rejected pictures are kept")
            return "full"
        replace_file(path, picture.content)
        self.count, self.bytes = self.count + 1, self.bytes + size
        return "kept"

    def _warn(self, outcome: str, sentence: str) -> None:
        """Log a sentence the first time that pictures end so; the metrics count all."""
        if outcome not in self._said:
            self._said.add(outcome)
            logger.warning("%s", sentence)


@contextmanager
def keeping(
    folder: Path | None, *, most: int, most_bytes: int, on_kept: Callable[[str], object]
) -> Iterator[Kept | None]:
    """A block in which rejected pictures are kept, by no other process in the same folder.

    Args:
        folder: None where none are to be kept.
        most: pictures in it.
        most_bytes: of all its pictures.
        on_kept: is told what became of every picture.

    Raises:
        UserError: the folder cannot be written, or another service keeps pictures in it.
    """
    if folder is None:
        yield None
        return
    with locked(folder):
        kept = Kept(folder, most=most, most_bytes=most_bytes, on_kept=on_kept)
        try:
            yield kept
        finally:
            kept.stop()


def _ending(content: bytes) -> str:
    """Of the name, by what the file holds."""
    try:
        found = identify(BytesIO(content), "").format or ""
    except UnreadableImageError:  # read by the package's own reader
        return ".tif"
    except Exception:  # of a PNG with too long a text, which is read without it
        return ".png"
    return ENDINGS.get(found, f".{found.lower()}")


def _pictures(folder: Path) -> list[Path]:
    """The visible files of the folders that this file fills."""
    places = [folder / str(one) for one in Decision if one is not Decision.KNOWN]
    found = [path for place in places if place.is_dir() for path in place.iterdir()]
    return [path for path in found if path.is_file() and not path.name.startswith(".")]


def _sweep(folder: Path) -> None:
    """Remove what a killed process has not finished writing."""
    for decision in Decision:
        place = folder / str(decision)
        for path in place.iterdir() if place.is_dir() else ():
            if PARTIAL.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    path.unlink()
