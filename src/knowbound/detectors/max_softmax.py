"""Maximum softmax probability (Hendrycks and Gimpel, ICLR 2017): the baseline for networks trained
with cross-entropy."""

from typing import Self

import torch
from torch import Tensor

from knowbound.detectors.detector import Detector


def minus_log_max_softmax(logits: Tensor) -> Tensor:
    """Minus the logarithm of the largest softmax probability; differentiable.

    Args:
        logits: (N, C).

    Returns:
        (N,) float64.
    """
    logits = logits.double()
    # log sum exp(z - max z) keeps what is left of 1 - p down to 1e-308, where log_softmax rounds to
    # 0
    top, index = logits.max(dim=1, keepdim=True)
    others = torch.exp(logits - top).scatter(1, index, 0.0).sum(dim=1)
    return torch.log1p(others)


def check_logits(logits: Tensor, labels: Tensor) -> None:
    """Check that there is a logit for each class.

    Args:
        logits: (N, C).
        labels: (N,).

    Raises:
        ValueError: there is not.
    """
    if int(labels.max()) + 1 != logits.shape[1]:
        raise ValueError(
            f"outputs of shape {tuple(logits.shape)} came with labels up to {int(labels.max())}; "
            "expected logits, one column for each class, as cross-entropy trains them"
        )


class MaxSoftmax(Detector):
    """Scores an image by -log of its largest softmax probability, 0..log C.

    The same order as 1 - probability, but in float64 logarithms: as float32 probabilities, most
    confident images tie at 1.0.  The unit of the logits matters: it is the one in which their
    exponentials are probabilities.
    """

    reads = ("logits",)

    def fit(self, vectors: Tensor, labels: Tensor) -> Self:
        """Nothing to learn.

        Args:
            vectors: logits (N, C).
            labels: (N,) in 0..C-1.

        Raises:
            ValueError: the logits do not have one column for each class.
        """
        check_logits(vectors, labels)
        return self

    def score(self, vectors: Tensor) -> Tensor:
        """Minus the logarithm of the largest softmax probability.

        Args:
            vectors: logits (N, C).

        Returns:
            (N,) float64 scores, higher = more out-of-distribution.
        """
        return minus_log_max_softmax(vectors)

    def classify(self, vectors: Tensor) -> Tensor:
        """The class of the largest logit.

        Args:
            vectors: logits (N, C).

        Returns:
            (N,) int64, in 0..C-1.
        """
        return vectors.argmax(dim=1)
