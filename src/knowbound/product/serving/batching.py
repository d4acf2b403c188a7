"""Images of many requests -> judged together, on a thread of its own."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knowbound.judgement import Verdict

Image = NDArray[np.uint8]
Judged = Callable[[NDArray[np.uint8]], list[Verdict]]
"""(N, C, H, W) -> N verdicts."""


@dataclass(eq=False)
class _Ticket:
    """The images of one request, of which some may be judged and some wait."""

    verdicts: list[Verdict | None]
    left: int
    answer: Future[list[Verdict]] = field(default_factory=Future)


@dataclass(frozen=True, eq=False)
class _Place:
    """One image in the queue."""

    image: Image
    ticket: _Ticket
    index: int
    since: float


class Batcher:
    """Judges images in batches: as soon as ``most`` wait, or the first has waited ``wait`` seconds.

    While a batch is judged the next one gathers, so a busy model meets full batches and an idle one
    answers after ``wait``.

    Args:
        judge: of a batch; called on one thread, one batch at a time.
        most: images of a batch.
        wait: seconds.
        on_batch: is told the number of images and the seconds of every batch.
    """

    def __init__(
        self,
        judge: Judged,
        *,
        most: int,
        wait: float,
        on_batch: Callable[[int, float], object] = lambda size, seconds: None,
    ) -> None:
        self._judge, self._most, self._wait, self._on_batch = judge, most, wait, on_batch
        self._waiting: deque[_Place] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="knowbound-batches", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Images in the queue."""
        return len(self._waiting)

    @property
    def is_alive(self) -> bool:
        """Whether what is submitted will be judged."""
        return self._thread.is_alive() and not self._stopping

    def submit(self, images: Sequence[Image]) -> Future[list[Verdict]]:
        """The verdicts on images, when they are there.

        Args:
            images: (C, H, W) each, all of one shape.

        Returns:
            As many verdicts, or what ``judge`` raised.

        Raises:
            RuntimeError: after ``stop``.
        """
        ticket = _Ticket([None] * len(images), len(images))
        if not images:
            ticket.answer.set_result([])
            return ticket.answer
        now = time.monotonic()
        with self._changed:
            if self._stopping:
                raise RuntimeError("this batcher was stopped")
            self._waiting.extend(_Place(one, ticket, i, now) for i, one in enumerate(images))
            self._changed.notify()
        return ticket.answer

    def stop(self) -> None:
        """Judge what waits, then end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next():
            self._answer(batch)

    def _next(self) -> list[_Place]:
        """The next batch; none when all is done and nothing will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            if not self._waiting:
                return []
            left = self._waiting[0].since + self._wait - time.monotonic()
            self._changed.wait_for(
                lambda: len(self._waiting) >= self._most or self._stopping, max(0.0, left)
            )
            return [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]

    def _answer(self, batch: list[_Place]) -> None:
        began = time.perf_counter()
        try:
            verdicts = self._judge(np.stack([place.image for place in batch]))
        except BaseException as error:  # whoever asked is told; the thread goes on
            for ticket in {place.ticket for place in batch}:
                _fail(ticket, error)
            return
        self._on_batch(len(batch), time.perf_counter() - began)
        for place, verdict in zip(batch, verdicts, strict=True):
            _note(place.ticket, place.index, verdict)


def _note(ticket: _Ticket, index: int, verdict: Verdict) -> None:
    ticket.verdicts[index] = verdict
    ticket.left -= 1
    if not ticket.left and not ticket.answer.done():
        done: list[Any] = ticket.verdicts
        ticket.answer.set_result(done)


def _fail(ticket: _Ticket, error: BaseException) -> None:
    if not ticket.answer.done():
        ticket.answer.set_exception(error)
