"""What the training loop asks of an objective: which images go together, and a scalar from their embeddings."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Batches(Protocol):
    """The batches of one training, by step.  Step k does not depend on steps before it, so a training can resume anywhere."""

    def __getitem__(self, step: int, /) -> NDArray[np.int64]:
        """Indices (B,) into the labels, for this step."""


class Objective(Protocol):
    """A frozen dataclass of settings with two functions."""

    def batches(self, labels: NDArray[np.int64], seed: int) -> Batches:
        """The batches for labels (N,), in 0..C-1 or below 0 for out images.  Raises UserError if none can be drawn."""

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """A scalar from embeddings (B, D) and labels (B,), below 0 for out images; zero, with gradients, if nothing counts."""

    def embedding_dim(self, classes: int) -> int:
        """D, the length of the embeddings it wants for so many classes."""

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values."""
