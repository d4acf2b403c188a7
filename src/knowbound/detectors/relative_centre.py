"""Distance to the nearest class centre, relative to that to all centres: for features of a frozen
network."""

from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import normalize

from knowbound.detectors.detector import Detector
from knowbound.detectors.learning import count_classes
from knowbound.outputs import Field

BLOCK = 16_384
"""Images whose deviations from their centres are held at a time."""
SMALLEST = 1e-12
"""Sum of squares along a direction in which images of one class do not differ."""


class RelativeCentre(Detector):
    """Scores an image by d_1^2 - share x mean_c d_c^2 of its distances to the class centres.

    Vectors are scaled to unit length.  Distances are Mahalanobis distances under the covariance
    within classes, shrunk far towards a multiple of the identity: (1 - shrinkage) S + shrinkage x
    mu I, with S over N - C and mu the mean of its diagonal, in units where the identity's part is
    1.  A share of 0 and a shrinkage of 1 give the squared distance to the nearest centre.  The mean
    over all centres takes away what every picture far from the training images has in common; with
    a share below 1 what is far from all classes in a direction of its own still scores high.  What
    lies beyond a centre, seen from the mean of all, scores low instead.  One unit for all features does
    not matter; the unit of single features does, as a pretrained network's features share one.
    ``docs/photographs.md`` has what was tried.

    Args:
        share: of the mean squared distance to all centres, from 0 to below 1.
        shrinkage: of the covariance, above 0 and up to 1.
        reads: which of the network's outputs.

    Raises:
        ValueError: a share or a shrinkage outside its range.
    """

    choices = ("features", "embedding")
    centres: Tensor
    """(C, R) the mean unit-length vector of each class, rescaled; set by ``fit``."""
    directions: Tensor
    """(K, R) orthonormal, in which images of one class differ; set by ``fit``."""
    gains: Tensor
    """(K,) what distances along them are multiplied by, less 1; set by ``fit``."""

    def __init__(
        self, share: float = 0.8, shrinkage: float = 0.97, reads: Field = "features"
    ) -> None:
        if not 0 <= share < 1 or not 0 < shrinkage <= 1:
            raise ValueError(
                f"a share of {share} and a shrinkage of {shrinkage} were asked for; expected a "
                "share in [0, 1) and a shrinkage in (0, 1]"
            )
        super().__init__({"share": share, "shrinkage": shrinkage}, reads=reads)
        self.share, self.shrinkage = share, shrinkage
        self.register_buffer("centres", torch.empty(0, 0, dtype=torch.float64))
        self.register_buffer("directions", torch.empty(0, 0, dtype=torch.float64))
        self.register_buffer("gains", torch.empty(0, dtype=torch.float64))

    def fit(self, vectors: Tensor, labels: Tensor) -> Self:
        """Keep the class centres and the directions in which images of one class differ.

        Args:
            vectors: (N, R) of training images.
            labels: (N,) in 0..C-1.

        Raises:
            ValueError: a class has no image.
        """
        blocks = list(zip(vectors.split(BLOCK), labels.split(BLOCK), strict=True))
        counts = count_classes(labels)
        sums = vectors.new_zeros(len(counts), vectors.shape[1], dtype=torch.float64)
        for part, own in blocks:
            sums.index_add_(0, own, normalize(part.double(), dim=1))
        centres = sums / counts[:, None]
        scatter = centres.new_zeros(vectors.shape[1], vectors.shape[1])
        for part, own in blocks:
            apart = normalize(part.double(), dim=1) - centres[own]
            scatter += apart.T @ apart
        squared, directions = torch.linalg.eigh(scatter)
        variances = squared.clamp(min=0) / max(1, len(vectors) - len(centres))
        identity = self.shrinkage * variances.sum() / len(scatter)
        kept = squared > SMALLEST
        shrunk = (1 - self.shrinkage) * variances[kept] + identity
        self.directions, self.gains = directions.T[kept], (identity / shrunk).sqrt() - 1
        self.centres = self._rescaled(centres)
        return self

    def _rescaled(self, units: Tensor) -> Tensor:
        return units + ((units @ self.directions.T) * self.gains) @ self.directions

    def squared_distances(self, vectors: Tensor) -> Tensor:
        """Squared distances to every centre.

        Args:
            vectors: (N, R).

        Returns:
            (N, C).
        """
        rescaled = self._rescaled(normalize(vectors.double(), dim=1))
        return torch.cdist(
            rescaled, self.centres, compute_mode="donot_use_mm_for_euclid_dist"
        ).square()

    def score(self, vectors: Tensor) -> Tensor:
        """Squared distance to the nearest centre, less ``share`` of the mean one.

        Args:
            vectors: (N, R).

        Returns:
            (N,) scores, higher = more out-of-distribution.
        """
        squared = self.squared_distances(vectors)
        return squared.amin(dim=1) - self.share * squared.mean(dim=1)

    def classify(self, vectors: Tensor) -> Tensor:
        """The class of the nearest centre.

        Args:
            vectors: (N, R).

        Returns:
            (N,) int64, in 0..C-1.
        """
        return self.squared_distances(vectors).argmin(dim=1)
