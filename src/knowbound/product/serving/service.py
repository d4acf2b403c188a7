"""Pictures as they came -> a row for each, within the bounds."""

import asyncio
import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from knowbound.data.pictures.identification import UnreadableImageError
from knowbound.data.pictures.picture_files import read_image
from knowbound.data.preprocessing import Preprocessing
from knowbound.product.serving.kept import Kept
from knowbound.product.serving.metrics import Metrics
from knowbound.product.serving.models import Models, Served
from knowbound.product.serving.refusal import Refusal
from knowbound.product.serving.room import Room
from knowbound.product.serving.settings import Limits, decoders
from knowbound.product.serving.uploads import Upload
from knowbound.workflows.predict import Prediction

TOGETHER = 16
"""Pictures that one thread decodes in one piece of work."""


class _Read(NamedTuple):
    """A picture as the network takes it, or why it is none."""

    image: NDArray[np.uint8] | None
    remark: str


class Service:
    """Answers requests: decodes on threads, judges in batches, counts, keeps.

    Everything but ``reload`` happens on one event loop.

    Args:
        models: in memory.
        limits: of all that is held.
        metrics: that count.
        kept: where rejected pictures go, or None.
    """

    def __init__(
        self, models: Models, limits: Limits, metrics: Metrics, kept: Kept | None = None
    ) -> None:
        self.models, self.limits, self.metrics, self._kept = models, limits, metrics, kept
        self.bodies = Room(limits.held_bytes, "bytes of pictures")
        self._pictures = Room(limits.queue, "pictures")
        self._threads = ThreadPoolExecutor(decoders(), thread_name_prefix="knowbound-decoding")
        self._work: set[asyncio.Task[list[Prediction]]] = set()
        self.is_stopping = False
        for served in models:  # the first picture in a process has Pillow import its readers
            _read(Upload("", _small_picture()), served.model.preprocessing, limits.pixels)

    @property
    def is_ready(self) -> bool:
        """Whether a picture that comes now would be answered."""
        return self.models.are_ready and not self.is_stopping

    async def answer(
        self, served: Served, uploads: Sequence[Upload], held: int = 0
    ) -> list[Prediction]:
        """A row for each picture, in order; one that cannot be read says why.

        Args:
            served: the model.
            uploads: as they came.
            held: bytes of ``bodies`` that are given back when the pictures are done with.

        Raises:
            Refusal: 503, where too many pictures wait or the time is over.
        """
        try:
            self._pictures.take(len(uploads))
        except Refusal:
            self.bodies.give(held)
            raise
        self.metrics.waiting(self._pictures.held)
        # A thread cannot be stopped: where the time is over, the work goes on, and what it holds
        # stays held until it ends.
        work = asyncio.ensure_future(self._judged(served, uploads, held))
        self._work.add(work)
        work.add_done_callback(self._forget)
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await asyncio.shield(work)
        except TimeoutError as error:
            raise Refusal(
                503,
                f"no answer was found within {self.limits.seconds:g} seconds; ask again, with "
                "fewer pictures",
            ) from error
        except MemoryError as error:
            raise Refusal(503, "there is not enough memory now; ask again") from error

    def _forget(self, work: "asyncio.Task[list[Prediction]]") -> None:
        self._work.discard(work)
        if not work.cancelled():
            work.exception()  # else asyncio complains of one that nobody waits for any more

    async def _judged(
        self, served: Served, uploads: Sequence[Upload], held: int
    ) -> list[Prediction]:
        try:
            with served.used():
                read = await self._decoded(served.model.preprocessing, uploads)
                images = [one.image for one in read if one.image is not None]
                judged = await asyncio.wrap_future(served.batcher.submit(images))
            verdicts = iter(judged)
            rows = [
                Prediction(upload.name, None, error=one.remark)
                if one.image is None
                else Prediction(upload.name, next(verdicts), remark=one.remark)
                for upload, one in zip(uploads, read, strict=True)
            ]
            self.metrics.said(served.name, rows)
            self._keep(uploads, rows)
            return rows
        finally:
            self.bodies.give(held)
            self._pictures.give(len(uploads))
            self.metrics.waiting(self._pictures.held)

    async def _decoded(self, shape: Preprocessing, uploads: Sequence[Upload]) -> list[_Read]:
        loop = asyncio.get_running_loop()
        parts = [
            loop.run_in_executor(
                self._threads, self._read, shape, uploads[start : start + TOGETHER]
            )
            for start in range(0, len(uploads), TOGETHER)
        ]
        return [one for part in await asyncio.gather(*parts) for one in part]

    def _read(self, shape: Preprocessing, uploads: Sequence[Upload]) -> list[_Read]:
        return [_read(upload, shape, self.limits.pixels) for upload in uploads]

    def _keep(self, uploads: Sequence[Upload], rows: Sequence[Prediction]) -> None:
        if self._kept is None:
            return
        for upload, row in zip(uploads, rows, strict=True):
            if row.verdict:
                self._kept.offer(upload.content, row.verdict.decision)

    async def reload(self) -> None:
        """Load the models whose files changed, and put each in place between two requests."""
        for name in await asyncio.to_thread(self.models.changed):
            served = await asyncio.to_thread(self.models.load_again, name)
            if served is not None:
                self.models.replace(served)

    async def reload_every(self, seconds: float) -> None:
        """``reload`` again and again, until it is cancelled.

        Args:
            seconds: between two looks.
        """
        while True:
            await asyncio.sleep(seconds)
            await self.reload()

    async def stop(self) -> None:
        """Answer what was taken, then end the threads."""
        self.is_stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.limits.seconds):
                while self._work:
                    await asyncio.sleep(0.01)
        self._threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self.models.stop)


def _small_picture() -> bytes:
    file = BytesIO()
    Image.new("L", (1, 1)).save(file, "PNG")
    return file.getvalue()


def _read(upload: Upload, shape: Preprocessing, pixels: int) -> _Read:
    try:
        image, remark = read_image(
            Path("picture"), shape, content=upload.content, max_pixels=pixels
        )
    except UnreadableImageError as error:
        return _Read(None, str(error))
    return _Read(image, remark)
