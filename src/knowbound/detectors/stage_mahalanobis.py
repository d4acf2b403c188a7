"""Mahalanobis distance of the activations of every block, early and late."""

from typing import Self

import torch
from torch import Tensor

from knowbound.detectors.detector import Detector, class_means
from knowbound.detectors.ledoit_wolf import ledoit_wolf
from knowbound.detectors.mahalanobis import inverse_root, squared_distances
from knowbound.detectors.scale import inverse_deviations


class StageMahalanobis(Detector):
    """Scores an image by the squared Mahalanobis distance of its pooled activations to the nearest
    class mean.

    All blocks count at once, with one covariance of all classes: that of the standardised
    activations about their class means, shrunk as Ledoit and Wolf do, so that it can be inverted
    where there are fewer images than channels.  Lee et al. (NeurIPS 2018) measure each block by
    itself and weigh the blocks on out-of-distribution images; here none are needed.  The unit of
    single channels does not matter.  Channels that no class varies in are not measured.
    """

    reads = ("stages",)
    scale_free = True
    means: Tensor
    whiten: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("means", torch.empty(0, 0, dtype=torch.float64))
        self.register_buffer("whiten", torch.empty(0, 0, dtype=torch.float64))

    def fit(self, vectors: Tensor, labels: Tensor) -> Self:
        """Keep the class means (C, S) and what whitens their differences (S, S).

        Args:
            vectors: (N, S) pooled activations of training images.
            labels: (N,) in 0..C-1.

        Raises:
            ValueError: a class has no image.
        """
        self.means = class_means(vectors, labels)
        centred = vectors.double() - self.means[labels]
        inverse = inverse_deviations(vectors, centred)
        varies = inverse > 0
        covariance, _ = ledoit_wolf(centred[:, varies] * inverse[varies])
        root = inverse_root(covariance)
        self.whiten = root.new_zeros(len(inverse), root.shape[1])
        self.whiten[varies] = inverse[varies, None] * root
        return self

    def distances(self, vectors: Tensor) -> Tensor:
        """Squared Mahalanobis distances to every class mean.

        Args:
            vectors: (N, S).

        Returns:
            (N, C) float64.
        """
        return squared_distances(vectors, self.means, self.whiten)

    def score(self, vectors: Tensor) -> Tensor:
        """The squared distance to the nearest class mean.

        Args:
            vectors: (N, S).

        Returns:
            (N,) float64 scores, higher = more out-of-distribution.
        """
        return self.distances(vectors).amin(dim=1)

    def classify(self, vectors: Tensor) -> Tensor:
        """The class of the nearest mean.

        Args:
            vectors: (N, S).

        Returns:
            (N,) int64, in 0..C-1.
        """
        return self.distances(vectors).argmin(dim=1)
