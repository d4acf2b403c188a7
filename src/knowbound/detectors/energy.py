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
        """Nothing to learn; raises ValueError unless logits (N, C) have one column for each
        class."""
        check_logits(embeddings, labels)
        return self

    def score(self, embeddings: Tensor) -> Tensor:
        """Logits (N, C) -> (N,) float64, the free energy."""
        return -self.temperature * torch.logsumexp(embeddings.double() / self.temperature, dim=1)

    def classify(self, embeddings: Tensor) -> Tensor:
        """Logits (N, C) -> (N,) index of the largest."""
        return embeddings.argmax(dim=1)
