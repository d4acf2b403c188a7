"""Energy (Liu et al., NeurIPS 2020): minus the log of the sum of the exponentials of the logits."""

from typing import Self

import torch
from torch import Tensor

from knowbound.detectors.detector import Detector
from knowbound.detectors.max_softmax import check_logits


class Energy(Detector):
    """Scores an image by its free energy, -T log sum exp(logits / T): low where any logit is high
    (Eq. 4).

    The unit of the logits matters: it is the one in which their exponentials are probabilities.

    Args:
        temperature: T, above 0; 1 is the authors' choice.

    Raises:
        ValueError: another temperature.
    """

    reads = ("logits",)

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__({"temperature": temperature})
        if not temperature > 0:
            raise ValueError(
                f"energy was given the temperature {temperature}; expected one above 0"
            )
        self.temperature = temperature

    def fit(self, embeddings: Tensor, labels: Tensor) -> Self:
        """Nothing to learn.

        Args:
            embeddings: logits (N, C).
            labels: (N,) in 0..C-1.

        Raises:
            ValueError: the logits do not have one column for each class.
        """
        check_logits(embeddings, labels)
        return self

    def score(self, embeddings: Tensor) -> Tensor:
        """The free energy.

        Args:
            embeddings: logits (N, C).

        Returns:
            (N,) float64 scores, higher = more out-of-distribution.
        """
        return -self.temperature * torch.logsumexp(embeddings.double() / self.temperature, dim=1)

    def classify(self, embeddings: Tensor) -> Tensor:
        """The class of the largest logit.

        Args:
            embeddings: logits (N, C).

        Returns:
            (N,) int64, in 0..C-1.
        """
        return embeddings.argmax(dim=1)
