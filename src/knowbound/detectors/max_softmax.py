"""Maximum softmax probability (Hendrycks and Gimpel, ICLR 2017): the baseline for networks trained with cross-entropy."""

from typing import Any, Self

import torch
from torch import Tensor, nn


def minus_log_max_softmax(logits: Tensor) -> Tensor:
    """Logits (N, C) -> (N,) float64, -log of the largest softmax probability; differentiable."""
    logits = logits.double()
    # log sum exp(z - max z) keeps what is left of 1 - p down to 1e-308, where log_softmax rounds to 0
    top, index = logits.max(dim=1, keepdim=True)
    others = torch.exp(logits - top).scatter(1, index, 0.0).sum(dim=1)
    return torch.log1p(others)


class MaxSoftmax(nn.Module):
    """Scores an image by -log of its largest softmax probability, 0..log C.

    The same order as 1 - probability, but in float64 logarithms: as float32 probabilities, most confident images tie at 1.0.
    """

    needs_logits = True
    classes: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {}
        self.register_buffer("classes", torch.zeros((), dtype=torch.int64))

    def fit(self, embeddings: Tensor, labels: Tensor) -> Self:
        """Nothing to learn; notes that logits (N, C) have one column for each class.  Raises ValueError if they do not."""
        if int(labels.max()) + 1 != embeddings.shape[1]:
            raise ValueError(
                f"outputs of shape {tuple(embeddings.shape)} came with labels up to {int(labels.max())}; expected logits, one "
                "column for each class, as cross-entropy trains them"
            )
        self.classes = torch.tensor(embeddings.shape[1])
        return self

    def score(self, embeddings: Tensor) -> Tensor:
        """Logits (N, C) -> (N,) float64, -log max softmax."""
        return minus_log_max_softmax(embeddings)

    def classify(self, embeddings: Tensor) -> Tensor:
        """Logits (N, C) -> (N,) index of the largest."""
        return embeddings.argmax(dim=1)
