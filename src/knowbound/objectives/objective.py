"""What the training loop asks of an objective: which images go together, and a scalar from what the
network says of them."""

from abc import ABC, abstractmethod
from dataclasses import asdict, fields, replace
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from knowbound.outputs import Head, Outputs
from knowbound.values import JsonObject


class Batches(Protocol):
    """The batches of one training, by step.  Step k does not depend on steps before it, so a
    training can resume anywhere."""

    def __getitem__(self, step: int, /) -> NDArray[np.int64]:
        """Indices (B,) into the labels, for this step."""


class Rule(Protocol):
    """How batches are built: a frozen dataclass of settings."""

    def plan(self, labels: NDArray[np.int64], seed: int) -> Batches:
        """The batches of a training.

        Args:
            labels: (N,) in 0..C-1, or below 0 for out-of-distribution images.
            seed: of everything random.
        """

    def without_outs(self) -> "Rule":
        """Batches of in-distribution images alone, as large."""


class Objective(ABC):
    """The base of every objective: a frozen dataclass that declares what it is.

    A subclass declares ``name``, ``heads``, ``uses_outs`` and ``needs_outs``, has a field ``rule``,
    and says its loss in ``__call__``.  ``CrossEntropy`` and ``Contrastive`` are the models to
    follow.
    """

    name: ClassVar[str]
    """What it is filed under, in models and checkpoints."""
    heads: ClassVar[tuple[Head, ...]] = ("embedding",)
    """What it reads; the first one is what ``__call__`` takes."""
    uses_outs: ClassVar[bool] = True
    """Whether seen-out images in a batch play a part."""
    needs_outs: ClassVar[bool] = False
    """Whether it cannot be trained without them."""
    unit_length: ClassVar[bool] = False
    """Whether the loss scales embeddings to length 1, so that the network must: what a detector
    judges is what was trained."""
    rule: Any
    """How batches are built, a ``Rule``."""

    @abstractmethod
    def __call__(self, values: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch, a scalar; 0, with gradients, where nothing counts.

        Args:
            values: (B, D) embeddings, or (B, C) logits: the first of ``heads``.
            labels: (B,) in 0..C-1, or below 0 for out-of-distribution images.
        """

    def loss(self, outputs: Outputs, labels: Tensor) -> Tensor:
        """The loss of a batch, a scalar.

        Args:
            outputs: of the network for the B images.
            labels: (B,) in 0..C-1, or below 0 for out-of-distribution images.

        Raises:
            ValueError: the network has no such head.
        """
        return self(outputs.get(self.heads[0]), labels)

    def batches(self, labels: NDArray[np.int64], seed: int) -> Batches:
        """The batches for these labels.

        Args:
            labels: (N,) in 0..C-1, or below 0 for out-of-distribution images.
            seed: of the draws.

        Raises:
            UserError: none can be drawn.
        """
        batches: Batches = self.rule.plan(labels, seed)
        return batches

    def head_sizes(self, classes: int) -> dict[str, int]:
        """The heads that the network must have, as arguments of a backbone, for so many classes.

        Args:
            classes: C.

        Returns:
            The length of each head by its name, and ``unit_length`` where embeddings must have it.
        """
        return {"logits": classes}

    def without_outs(self) -> Self:
        """The same objective for batches of known images alone, as many in a batch."""
        return self.changed(rule=self.rule.without_outs())

    def changed(self, **changes: Any) -> Self:
        """The same objective with other settings.

        Args:
            changes: fields of the dataclass and their values.
        """
        record: Any = self  # a dataclass, which only its subclass is declared to be
        changed: Self = replace(record, **changes)
        return changed

    @classmethod
    def setting_names(cls) -> set[str]:
        """The names of its settings."""
        record: Any = cls
        return {field.name for field in fields(record)}

    @property
    def scale(self) -> float:
        """About how far apart fresh embeddings are best: the ``gain`` of a wide residual network."""
        return 1.0

    def called(self, outs: bool) -> str:
        """What a network trained with it is called.

        Args:
            outs: whether it saw out-of-distribution images.
        """
        del outs
        return self.name

    def to_dict(self) -> JsonObject:
        """The settings as JSON values."""
        rule = {"name": type(self.rule).__name__, **asdict(self.rule)}
        record: Any = self
        return {"name": self.name, **asdict(record), "rule": rule}


class MetricObjective(Objective):
    """The base of objectives on embeddings, which have a field ``dim``, their length."""

    dim: int

    def head_sizes(self, classes: int) -> dict[str, int]:
        """An embedding of ``dim`` numbers, whatever the number of classes.

        Args:
            classes: how many.

        Returns:
            ``embedding`` and its length, and ``unit_length`` where embeddings have length 1.
        """
        scaled = {"unit_length": True} if self.unit_length else {}
        return {"embedding": self.dim, **scaled}


def at_least_float32(values: Tensor) -> Tensor:
    """The values as they are, half precision as float32: distances and exponentials need it.

    Args:
        values: of any shape.
    """
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def expect_above_zero(**settings: float) -> None:
    """Check settings, each given by its name.

    Raises:
        ValueError: one of them is not a finite number above 0.
    """
    for name, value in settings.items():
        if not 0 < value < float("inf"):
            raise ValueError(f"{name} {value} was asked for; expected a number above 0")
