"""What the rest of the package asks of a detector."""

from collections.abc import Mapping
from typing import Any, Protocol, Self, runtime_checkable

from torch import Tensor


@runtime_checkable
class Detector(Protocol):
    """An ``nn.Module`` that learns where the in-distribution embeddings lie; its state stands in buffers.

    A detector may also have ``prepare(backbone, images) -> images``, which changes images before they are embedded to be scored
    (not those of ``fit``); and ``read(features, embeddings) -> (N, D)``, what it is given of a network's two outputs where
    that is not the embeddings: the features (N, F) before the last linear layer, or both in one.  ``needs_logits = True`` says
    that it makes sense on a network trained with cross-entropy only, and an argument ``reads="embeddings" | "features"`` that it
    can work on either output.
    """

    @property
    def settings(self) -> Mapping[str, Any]:
        """The constructor's arguments as JSON values."""

    def fit(self, embeddings: Tensor, labels: Tensor) -> Self:
        """Learn from in-distribution embeddings (N, D) and labels (N,) in 0..C-1."""

    def score(self, embeddings: Tensor) -> Tensor:
        """(N, D) -> (N,): higher = more out-of-distribution."""

    def classify(self, embeddings: Tensor) -> Tensor:
        """(N, D) -> (N,) int64: the class each image is closest to, whatever its score."""
