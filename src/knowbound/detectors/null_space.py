"""Kernel null Foley-Sammon transform (Bodesheim et al., CVPR 2013): each class becomes a single
point."""

from typing import Self

import torch
from torch import Tensor

from knowbound.detectors.detector import Detector
from knowbound.detectors.learning import count_classes
from knowbound.errors import UserError
from knowbound.outputs import Field

SMALLEST = 1e-10
"""Of the largest eigenvalue: directions of the kernel with less than this share are rounding."""


class NullSpace(Detector):
    """Scores an image by its Euclidean distance to the nearest class point in the null space of the
    within-class scatter.

    There the training images of a class coincide and those of different classes do not, C - 1
    dimensions in all.  The kernel is exp(-|x - y|^2 / (2 width^2)), with the width the median
    distance of training vectors (theirs is a histogram intersection of image features).  Where
    there is no null space (copies in two classes, or vectors of so few dimensions that their kernel
    has less than full rank) the C - 1 directions are taken in which the least share of all scatter
    is within classes.  One unit for all features does not matter.  The unit of single features
    does, because the kernel is one of Euclidean distances.

    Args:
        images: training images that are used at most, because eigenvectors of an N x N matrix are
            needed; the same number of each class as far as there are.
        reads: which of the network's outputs.
        seed: of the draw of these images.

    Raises:
        ValueError: fewer than two images.
    """

    choices = ("embedding", "features", "logits")
    vectors: Tensor
    projection: Tensor
    points: Tensor
    width: Tensor

    def __init__(self, images: int = 1000, reads: Field = "embedding", seed: int = 0) -> None:
        super().__init__({"images": images, "seed": seed}, reads)
        if images < 2:
            raise ValueError(f"{images} images were to be used; expected at least 2")
        for name in ("vectors", "projection", "points"):
            self.register_buffer(name, torch.empty(0, 0, dtype=torch.float64))
        self.register_buffer("width", torch.ones((), dtype=torch.float64))

    def fit(self, embeddings: Tensor, labels: Tensor) -> Self:
        """Keep the projection and the class points (C, C - 1).

        Args:
            embeddings: (N, D) of training images.
            labels: (N,) in 0..C-1.

        Raises:
            UserError: fewer than two classes, or a class without an image.
        """
        counts = count_classes(labels)
        if len(counts) < 2:
            raise UserError(
                f"{len(labels)} images of one class came; the null space expected at least two "
                "classes: take nearest_centre"
            )
        chosen = self._choose(labels, len(counts))
        self.vectors, labels = embeddings[chosen].double(), labels[chosen]
        distances = torch.cdist(
            self.vectors, self.vectors, compute_mode="donot_use_mm_for_euclid_dist"
        )
        self.width = (
            distances[distances > 0].median()
            if (distances > 0).any()
            else torch.ones_like(self.width)
        )
        kernel = torch.exp(-(distances**2) / (2 * self.width**2))
        self.projection = null_projection(kernel, labels)
        projected = kernel @ self.projection
        self.points = torch.stack(
            [projected[labels == label].mean(dim=0) for label in range(len(counts))]
        )
        return self

    def distances(self, embeddings: Tensor) -> Tensor:
        """Distances to every class point.

        Args:
            embeddings: (N, D).

        Returns:
            (N, C) float64.
        """
        squared = torch.cdist(
            embeddings.double(), self.vectors, compute_mode="donot_use_mm_for_euclid_dist"
        ).square()
        projected = torch.exp(-squared / (2 * self.width**2)) @ self.projection
        return torch.cdist(projected, self.points, compute_mode="donot_use_mm_for_euclid_dist")

    def score(self, embeddings: Tensor) -> Tensor:
        """Distance to the nearest class point.

        Args:
            embeddings: (N, D).

        Returns:
            (N,) float64 scores, higher = more out-of-distribution.
        """
        return self.distances(embeddings).amin(dim=1)

    def classify(self, embeddings: Tensor) -> Tensor:
        """The class of the nearest class point.

        Args:
            embeddings: (N, D).

        Returns:
            (N,) int64, in 0..C-1.
        """
        return self.distances(embeddings).argmin(dim=1)

    def _choose(self, labels: Tensor, classes: int) -> Tensor:
        """Indices of the training images that are used, class after class; every class keeps one at
        least."""
        generator = torch.Generator().manual_seed(self.settings["seed"])
        order = torch.randperm(len(labels), generator=generator).to(labels.device)
        each = max(1, self.settings["images"] // classes)
        return torch.cat([order[labels[order] == label][:each] for label in range(classes)])


def null_projection(kernel: Tensor, labels: Tensor) -> Tensor:
    """A projection under which the training images of each class fall on one point.

    Within the span of the centred images (an orthonormal basis of it, by the eigenvectors of the
    centred kernel) these are the directions with the least share of scatter within classes, 0 where
    a null space is.

    Args:
        kernel: (N, N) float64, symmetric, of N training images.
        labels: (N,) in 0..C-1.

    Returns:
        (N, C - 1): ``kernel @ projection`` are the points.
    """
    count = len(labels)
    centring = torch.eye(count, dtype=kernel.dtype, device=kernel.device) - 1 / count
    values, vectors = torch.linalg.eigh(centring @ kernel @ centring)
    kept = values > SMALLEST * values[-1].clamp(min=torch.finfo(values.dtype).tiny)
    basis = centring @ (vectors[:, kept] / values[kept].sqrt())
    same = (labels[:, None] == labels[None]).to(kernel.dtype)
    within = basis.T @ kernel
    within = within - within @ (same / same.sum(dim=0))  # each image minus its class mean
    total = values[kept].sqrt()[:, None]  # of the scatter along each vector of the basis
    _, directions = torch.linalg.eigh((within / total) @ (within / total).T)  # rising share
    projection: Tensor = (
        basis @ torch.linalg.qr(directions[:, : len(labels.unique()) - 1] / total).Q
    )
    return projection
