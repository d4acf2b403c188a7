"""Mahalanobis distance (Lee et al., NeurIPS 2018) and its relative form (Ren et al., 2021):
Gaussians with one covariance."""

from typing import Self

import torch
from torch import Tensor

from knowbound.detectors.detector import Detector, class_means
from knowbound.detectors.scale import inverse_deviations
from knowbound.outputs import Field

SMALLEST = 1e-10
"""Of the largest variance of standardised features: along directions with less than this share the
training vectors do not vary, and nothing is measured."""


def whitening(vectors: Tensor, centred: Tensor) -> Tensor:
    """W (D, R), float64: |x W| is the Mahalanobis length of x under the covariance of ``centred``.

    Features are standardised before directions are looked at, so the result does not depend on the
    unit of any of them.  The covariance is divided by N.  Features and directions in which the
    vectors do not vary are left out (the pseudo-inverse), R <= D.

    Args:
        vectors: (N, D) in the precision that they came in.
        centred: (N, D) float64, the same minus what they vary about.
    """
    inverse = inverse_deviations(vectors, centred)
    features = inverse > 0
    if not features.any():
        return centred.new_zeros(centred.shape[1], 0)
    standardised = centred[:, features] * inverse[features]
    root = inverse_root(standardised.T @ standardised / len(centred))
    whiten = centred.new_zeros(centred.shape[1], root.shape[1])
    whiten[features] = inverse[features, None] * root
    return whiten


def inverse_root(covariance: Tensor) -> Tensor:
    """A root of the pseudo-inverse of a covariance.

    Args:
        covariance: (D, D).

    Returns:
        W (D, R) float64 with W W' the pseudo-inverse.
    """
    if not len(covariance):
        return covariance
    variances, directions = torch.linalg.eigh(covariance)
    kept = variances > SMALLEST * variances[-1]
    root: Tensor = directions[:, kept] / variances[kept].sqrt()
    return root


def squared_distances(vectors: Tensor, means: Tensor, whiten: Tensor) -> Tensor:
    """Squared distances as a root of the inverse covariance measures them.

    Args:
        vectors: (N, D).
        means: (C, D).
        whiten: W (D, R) of ``inverse_root``.

    Returns:
        (N, C) float64.
    """
    whitened = vectors.double() @ whiten
    return torch.cdist(
        whitened, means @ whiten, compute_mode="donot_use_mm_for_euclid_dist"
    ).square()


class Mahalanobis(Detector):
    """Scores an image by the squared Mahalanobis distance to the nearest class mean (Eq. 2); the
    covariance is that of all classes.

    The unit of single features does not matter.  Features that no class varies in are not measured.
    The authors' step against the gradient and their weighted sum over layers, both tuned on
    out-of-distribution images, are left out.

    Args:
        reads: which of the network's outputs; of a network trained with cross-entropy the authors
            take the features.
    """

    scale_free = True
    choices = ("embedding", "features", "logits")
    means: Tensor
    whiten: Tensor

    def __init__(self, reads: Field = "embedding") -> None:
        super().__init__(reads=reads)
        self.register_buffer("means", torch.empty(0, 0, dtype=torch.float64))
        self.register_buffer("whiten", torch.empty(0, 0, dtype=torch.float64))

    def fit(self, embeddings: Tensor, labels: Tensor) -> Self:
        """Learn class means (C, D) and the shared covariance.

        Args:
            embeddings: (N, D) of training images.
            labels: (N,) in 0..C-1.

        Raises:
            ValueError: a class of 0..C-1 has no image.
        """
        self.means = class_means(embeddings, labels)
        vectors = embeddings.double()
        self.whiten = whitening(embeddings, vectors - self.means[labels])
        return self

    def distances(self, embeddings: Tensor) -> Tensor:
        """Squared Mahalanobis distances to every class mean.

        Args:
            embeddings: (N, D).

        Returns:
            (N, C) float64.
        """
        return squared_distances(embeddings, self.means, self.whiten)

    def score(self, embeddings: Tensor) -> Tensor:
        """The squared distance to the nearest class mean.

        Args:
            embeddings: (N, D).

        Returns:
            (N,) float64 scores, higher = more out-of-distribution.
        """
        return self.distances(embeddings).amin(dim=1)

    def classify(self, embeddings: Tensor) -> Tensor:
        """The class of the nearest mean.

        Args:
            embeddings: (N, D).

        Returns:
            (N,) int64, in 0..C-1.
        """
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
        """Learn what ``Mahalanobis.fit`` does, and the mean (D,) and covariance of all vectors.

        Args:
            embeddings: (N, D) of training images.
            labels: (N,) in 0..C-1.

        Raises:
            ValueError: a class of 0..C-1 has no image.
        """
        super().fit(embeddings, labels)
        vectors = embeddings.double()
        self.mean = vectors.mean(dim=0)
        # only what the class distances measure may be subtracted from them
        inside = (vectors - self.mean) @ self.whiten
        self.whiten_all = self.whiten @ whitening(inside, inside)
        return self

    def score(self, embeddings: Tensor) -> Tensor:
        """The squared distance to the nearest class mean, less that to the mean of all.

        Args:
            embeddings: (N, D).

        Returns:
            (N,) float64 scores, which may be negative; higher = more out-of-distribution.
        """
        background = ((embeddings.double() - self.mean) @ self.whiten_all).square().sum(dim=1)
        return super().score(embeddings) - background
