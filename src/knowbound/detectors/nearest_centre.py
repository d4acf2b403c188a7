"""Distance to the nearest class centre: the score of ML and ODM."""

from typing import Self

import torch
from torch import Tensor

from knowbound.detectors.detector import Detector, class_means
from knowbound.outputs import Field


class NearestCentre(Detector):
    """Scores an image by the Euclidean distance of its embedding to the nearest class centre
    (Section 3.3).

    The centre of a class is the mean embedding of its training images.  One unit for all features
    does not matter.  The unit of single features does: the loss trained the Euclidean distance as
    it is.

    Args:
        reads: which of the network's outputs; a metric loss trains the embedding.
    """

    choices = ("embedding", "features", "logits")
    centres: Tensor
    """(C, D) the mean embedding of each class; set by ``fit``."""

    def __init__(self, reads: Field = "embedding") -> None:
        super().__init__(reads=reads)
        self.register_buffer("centres", torch.empty(0, 0))

    def fit(self, embeddings: Tensor, labels: Tensor) -> Self:
        """Keep the class centres.

        Args:
            embeddings: (N, D) of training images.
            labels: (N,) in 0..C-1.

        Raises:
            ValueError: a class has no image.
        """
        self.centres = class_means(embeddings, labels).float()
        return self

    def centres_in(self, field: Field) -> Tensor | None:
        """The centres, if the field is what it reads.

        Args:
            field: an output of the network.

        Returns:
            (C, D), or None.
        """
        return self.centres if self.reads == (field,) else None

    def distances(self, embeddings: Tensor) -> Tensor:
        """Euclidean distances to every centre.

        Args:
            embeddings: (N, D).

        Returns:
            (N, C).
        """
        # by differences, not by products: |x|^2 + |c|^2 - 2xc loses the small distances that decide
        return torch.cdist(
            embeddings.float(), self.centres, compute_mode="donot_use_mm_for_euclid_dist"
        )

    def score(self, embeddings: Tensor) -> Tensor:
        """Distance to the nearest centre.

        Args:
            embeddings: (N, D).

        Returns:
            (N,) scores, higher = more out-of-distribution.
        """
        return self.distances(embeddings).amin(dim=1)

    def classify(self, embeddings: Tensor) -> Tensor:
        """The class of the nearest centre.

        Args:
            embeddings: (N, D).

        Returns:
            (N,) int64, in 0..C-1.
        """
        return self.distances(embeddings).argmin(dim=1)
