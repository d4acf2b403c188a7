"""Judging with a saved boundary on several processes: the images are shared out, the answers put
together in order.

Each process loads the model from its folder, so no code and no weights travel, and has its share of
the threads.  Metrics are for whoever has all scores: a metric of a part says nothing about the
whole.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from itertools import chain
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from knowbound.boundary.boundary import BATCH, Boundary, Judgement
from knowbound.data.pictures.folder import FolderPixels
from knowbound.data.source import Source
from knowbound.errors import UserError
from knowbound.labels import OUT
from knowbound.workflows.predict import Prediction, predict_files

R = TypeVar("R")
PART = BATCH * max(1, 512 // BATCH)
"""Images of a part: whole batches, and enough of them to make sending them cheap."""
AHEAD = 2
"""Parts given to each process before the first is answered: one at work, one waiting."""


def predict_sharded(model: Path, paths: Sequence[Path], workers: int) -> Iterator[Prediction]:
    """A row for each file, in order, as ``predict_files`` gives it, from ``workers`` processes.

    model: the folder of a saved boundary.  Rows come while later files are still read, so memory
    does not grow with the files. Scores agree with one process's up to the rounding of another
    number of threads.  Scripts need the usual ``if __name__ == "__main__":``.  Raises UserError as
    ``Boundary.load`` does, and where a process died.
    """
    waiting = Shards(
        model, workers
    )  # now, not at the first row: what is wrong is told before anything is written

    def rows() -> Iterator[Prediction]:
        with waiting:
            yield from waiting.predict(paths)

    return rows()


def judge_sharded(model: Path, source: Source, workers: int) -> Judgement:
    """What the boundary says of every image of a source, as ``Boundary.judge_source`` gives it,
    from ``workers`` processes.

    Images in files are decoded by the process that judges them.  Raises as ``predict_sharded``
    does.
    """
    with Shards(model, workers) as waiting:
        return waiting.judge(source)


class Shards:
    """Processes that have a model loaded and wait for images; a context manager, at whose end they
    stop.

    model: the folder of a saved boundary; workers: processes; threads: of each, by default its
    share of this process's. They stop at once where the block is left by an error, Ctrl-C included,
    or where this process is killed. Raises UserError for fewer than one worker, and as
    ``Boundary.load`` does.
    """

    def __init__(self, model: Path, workers: int, *, threads: int | None = None) -> None:
        if workers < 1:
            raise UserError(f"{workers} workers were asked for; expected at least 1")
        Boundary.load(
            model
        )  # only to tell what is wrong with it once, and before any process starts
        self.model, self.workers = model, workers
        self.threads = threads or max(1, torch.get_num_threads() // workers)
        self.decoders = max(1, min(8, os.cpu_count() or 1) // workers)
        context = get_context("spawn")  # a fork would copy locks that the threads of torch hold
        self._watched, self._life = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(
            workers, mp_context=context, initializer=_start, initargs=(self._watched, self.threads)
        )

    def __enter__(self) -> "Shards":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:  # whatever is being judged is for nobody
            self._life.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._life.close()
        self._watched.close()

    def predict(self, paths: Sequence[Path]) -> Iterator[Prediction]:
        """A row for each file, in order."""
        parts = (
            (str(self.model), list(paths[part]), self.decoders)
            for part in shards(len(paths), self.workers)
        )
        return chain.from_iterable(self._in_order(_predict, parts))

    def judge(self, source: Source) -> Judgement:
        """What the boundary says of every image of a source, in order."""
        parts = (
            (str(self.model), _part(source, part, self.decoders))
            for part in shards(len(source), self.workers)
        )
        return _join(list(self._in_order(_judge, parts)))

    def _in_order(
        self, function: Callable[..., R], parts: Iterator[tuple[Any, ...]]
    ) -> Iterator[R]:
        """``function(*part)`` of each part, in order, at most ``AHEAD`` parts for each process
        ahead of the one asked for."""
        waiting: deque[Future[R]] = deque()
        try:
            for part in parts:
                with _interrupts_held():
                    waiting.append(self._pool.submit(function, *part))
                if len(waiting) > AHEAD * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise UserError(
                f"one of the {self.workers} workers died, perhaps for want of memory; take fewer "
                "workers (--workers 1 needs no other process), or close other programs"
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def shards(count: int, workers: int) -> list[slice]:
    """Contiguous parts of ``count`` images, in order: batches as one process makes them, or smaller
    ones where each worker
    would not get one."""
    size = max(1, min(PART, -(-count // workers)))
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits in here, and never reaches a process started in here: it is for the first one to
    stop the others."""
    if not hasattr(
        signal, "pthread_sigmask"
    ):  # Windows, whose workers say a little more when they are interrupted
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(watched: Connection, threads: int) -> None:
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with, args=(watched,), daemon=True).start()


def _end_with(watched: Connection) -> None:
    """End this process as soon as the other end of the pipe is closed: by the first process, or by
    its death."""
    watched.poll(None)
    os._exit(1)


@cache
def _boundary(model: str) -> Boundary:
    return Boundary.load(model)


def _predict(model: str, paths: list[Path], decoders: int) -> list[Prediction]:
    return list(predict_files(_boundary(model), paths, decoders=decoders))


def _judge(model: str, source: Source) -> Judgement:
    return _boundary(model).judge_source(source)


def _part(source: Source, part: slice, decoders: int) -> Source:
    """The images of a part without labels; those in files stay undecoded, and no other file's name
    travels with them."""
    pixels = source.pixels
    if isinstance(pixels, FolderPixels):
        files = [pixels.files[position] for position in pixels.order[part]]
        pixels = FolderPixels(files, np.arange(len(files)), pixels.preprocessing, decoders)
    else:
        pixels = source.images(part)
    return Source(source.name, pixels, np.full(len(pixels), OUT, dtype=np.int64))


def _join(parts: Sequence[Judgement]) -> Judgement:
    if not parts:
        return Judgement.join(())
    return Judgement(
        *(
            np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(Judgement)
        )
    )
