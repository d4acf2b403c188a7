"""The models of a service by name, each replaced when a new one is put in its place on disk."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from knowbound.errors import UserError
from knowbound.judgement import Verdict
from knowbound.product.any_model import Model, fingerprint, index_of, load_model
from knowbound.product.serving.batching import Batcher
from knowbound.product.serving.refusal import Refusal
from knowbound.product.serving.settings import Limits

Stamp = tuple[int, int, int]
"""Inode, size and time of change of a file."""
NONE: Stamp = (-1, -1, -1)
"""Of no file."""
TRIES = 3
"""To load a model that is replaced under our eyes."""
logger = logging.getLogger("knowbound.serving")


class Watcher(Protocol):
    """Is told what becomes of batches and models."""

    def judged(self, model: str, size: int, seconds: float) -> None:
        """A batch of so many images took so many seconds."""

    def loaded(self, model: str, version: str) -> None:
        """A model, in this version of its file, is in memory."""

    def not_loaded(self, model: str) -> None:
        """What is on disk in the place of a model cannot be used."""


class Served:
    """One model in memory, with its queue.

    Args:
        name: by which it is asked for.
        model: what judges.
        version: of its file, to tell it from the one before.
        limits: of the service.
        on_batch: is told the images and seconds of every batch.
    """

    def __init__(
        self,
        name: str,
        model: Model,
        version: str,
        limits: Limits,
        on_batch: Callable[[int, float], object],
    ) -> None:
        self.name, self.model, self.version = name, model, version
        self.batcher = Batcher(
            self._judge, most=limits.max_batch, wait=limits.max_wait, on_batch=on_batch
        )
        self._users, self._retired = 0, False

    def _judge(self, images: NDArray[np.uint8]) -> list[Verdict]:
        return self.model.verdicts(self.model.judge(images))

    @contextmanager
    def used(self) -> Iterator["Served"]:
        """A block in which this model stays able to answer, though another took its place."""
        self._users += 1
        try:
            yield self
        finally:
            self._users -= 1
            self._end_if_done()

    def retire(self) -> None:
        """End it when the last request that uses it has its answer."""
        self._retired = True
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._retired and not self._users:
            self.batcher.stop()


class Models:
    """All models of a service.

    Args:
        paths: of each by its name; the first is asked where no name is given.
        limits: of the service.
        watcher: is told of batches and of models that were loaded.
        load: the model at a path.

    Raises:
        UserError: a model that cannot be used.
    """

    def __init__(
        self,
        paths: Mapping[str, Path],
        limits: Limits,
        watcher: Watcher,
        load: Callable[[Path], Model] = load_model,
    ) -> None:
        if not paths:
            raise UserError("no model was given; expected a folder or an .onnx file")
        self._paths, self._limits, self._watcher = dict(paths), limits, watcher
        self._model_at = load
        self._stamps: dict[str, Stamp | None] = {name: stamp(path) for name, path in paths.items()}
        self._failed: dict[str, str] = {}
        """What was last wrong with the file of each model."""
        self._served = {name: self._load(name) for name in paths}

    def named(self, name: str | None) -> Served:
        """The model of a name, or the first.

        Raises:
            Refusal: 404, with the names that there are.
        """
        if name is None:
            return next(iter(self._served.values()))
        if name not in self._served:
            known = ", ".join(map(repr, self._served))
            raise Refusal(404, f"there is no model {name[:60]!r} here; expected one of {known}")
        return self._served[name]

    def __iter__(self) -> Iterator[Served]:
        return iter(self._served.values())

    @property
    def are_ready(self) -> bool:
        """Whether every model would answer."""
        return all(served.batcher.is_alive for served in self)

    def changed(self) -> list[str]:
        """Names of the models whose files are others than those that were last looked at."""
        found = {name: stamp(path) for name, path in self._paths.items()}
        changed = [name for name in found if found[name] != self._stamps[name]]
        self._stamps = found
        return changed

    def load_again(self, name: str) -> Served | None:
        """The model that is on disk now, to be put in place by ``replace``; for any thread.

        Returns:
            None where it is the same as before, or cannot be used; then the one before stays.
        """
        try:
            if fingerprint(self._paths[name]) == self._served[name].version:
                return None
            return self._load(name)
        except Exception as error:  # whatever is wrong with the new one, the old one answers
            self._stamps[name] = NONE  # it may have been half there: the next look tries again
            said = str(error) or type(error).__name__
            if self._failed.get(name) != said:
                self._failed[name] = said
                logger.warning("model %s was not loaded again: %s", name, said)
                self._watcher.not_loaded(name)
            return None

    def replace(self, served: Served) -> None:
        """Let a model take the place of the one of its name, which answers what it has first."""
        before, self._served[served.name] = self._served[served.name], served
        before.retire()

    def stop(self) -> None:
        """Answer what waits, and end."""
        for served in self:
            served.batcher.stop()

    def _load(self, name: str) -> Served:
        path = self._paths[name]
        for _ in range(TRIES):
            version = fingerprint(path)
            model = self._model_at(path)
            if fingerprint(path) == version:
                break
        shape = model.preprocessing
        model.judge(np.zeros((1, shape.channels, shape.height, shape.width), np.uint8))
        self._watcher.loaded(name, version)
        return Served(name, model, version, self._limits, self._on_batch(name))

    def _on_batch(self, name: str) -> Callable[[int, float], None]:
        return lambda size, seconds: self._watcher.judged(name, size, seconds)


def stamp(path: Path) -> Stamp | None:
    """What changes whenever a model is replaced; None where its file is missing."""
    try:
        found = os.stat(index_of(path))
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
