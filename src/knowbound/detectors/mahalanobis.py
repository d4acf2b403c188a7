"""Mahalanobis distance (Lee et al., NeurIPS 2018) and its relative form (Ren et al., 2021):
Gaussians with one covariance."""

from typing import Self

import torch
from torch import Tensor

from knowbound.detectors.detector import Detector, class_means
from knowbound.outputs import Field

SMALLEST = 1e-10
"""Of the largest variance: along directions with less than this share the training vectors do not
vary, and nothing is measured."""


def whitening(vectors: Tensor) -> Tensor:
    """Centred vectors (N, D), float64 -> W (D, R) with |x W| the Mahalanobis length of x under
    their covariance.

    The covariance is divided by N.  Directions in which the vectors do not vary are left out (the
    pseudo-inverse), R <= D.
    """
    if not vectors.shape[1]:
        return vectors.new_empty(0, 0)
    variances, directions = torch.linalg.eigh(vectors.T @ vectors / max(1, len(vectors)))
    kept = variances > SMALLEST * variances[-1].clamp(min=torch.finfo(variances.dtype).tiny)
    whiten: Tensor = directions[:, kept] / variances[kept].sqrt()
    return whiten


class Mahalanobis(Detector):
    """Scores an image by the squared Mahalanobis distance to the nearest class mean; the covariance
    is that of all classes.

    reads: which of the network's outputs; of a network trained with cross-entropy the authors take
    the features.  Their step against the gradient and their weighted sum over layers, both tuned on
    out images, are left out.
    """

    choices = ("embedding", "features")
    means: Tensor
    whiten: Tensor

    def __init__(self, reads: Field = "embedding") -> None:
        super().__init__(reads=reads)
        self.register_buffer("means", torch.empty(0, 0, dtype=torch.float64))
        self.register_buffer("whiten", torch.empty(0, 0, dtype=torch.float64))

    def fit(self, embeddings: Tensor, labels: Tensor) -> Self:
        """Class means (C, D) and the shared covariance.  Raises ValueError if a class of 0..C-1 has
        no image."""
        self.means = class_means(embeddings, labels)
        vectors = embeddings.double()
        self.whiten = whitening(vectors - self.means[labels])
        return self

    def distances(self, embeddings: Tensor) -> Tensor:
        """(N, D) -> (N, C) float64 squared Mahalanobis distances to every class mean."""
        whitened, means = embeddings.double() @ self.whiten, self.means @ self.whiten
        return torch.cdist(whitened, means, compute_mode="donot_use_mm_for_euclid_dist").square()

    def score(self, embeddings: Tensor) -> Tensor:
        """(N, D) -> (N,) float64, the squared distance to the nearest class mean."""
        return self.distances(embeddings).amin(dim=1)

    def classify(self, embeddings: Tensor) -> Tensor:
        """(N, D) -> (N,) index of the nearest class mean."""
        return self.distances(embeddings).argmin(dim=1)


class RelativeMahalanobis(Mahalanobis):
    """The Mahalanobis score minus the squared distance to one Gaussian of all training vectors,
    whatever their class.

    What sets an image apart from every image counts for less, what sets it apart from each class
    alone for more.  Both are measured in the directions in which images of a class differ.
    """

    mean: Tensor
    whiten_all: Tensor

    def __init__(self, reads: Field = "embedding") -> None:
        super().__init__(reads)
        self.register_buffer("mean", torch.empty(0, dtype=torch.float64))
        self.register_buffer("whiten_all", torch.empty(0, 0, dtype=torch.float64))

    def fit(self, embeddings: Tensor, labels: Tensor) -> Self:
        """As ``Mahalanobis.fit``, and the mean (D,) and covariance of all vectors."""
        super().fit(embeddings, labels)
        vectors = embeddings.double()
        self.mean = vectors.mean(dim=0)
        inside = torch.linalg.qr(
            self.whiten
        ).Q  # only what the class distances measure may be subtracted from them
        self.whiten_all = inside @ whitening((vectors - self.mean) @ inside)
        return self

    def score(self, embeddings: Tensor) -> Tensor:
        """(N, D) -> (N,) float64; may be negative."""
        background = ((embeddings.double() - self.mean) @ self.whiten_all).square().sum(dim=1)
        return super().score(embeddings) - background
