"""Distance to the nearest centre and distance of the activations of every block, in one score."""

from typing import Self

import torch
from torch import Tensor

from knowbound.detectors.detector import Detector
from knowbound.detectors.learning import count_classes
from knowbound.detectors.nearest_centre import NearestCentre
from knowbound.detectors.stage_mahalanobis import StageMahalanobis
from knowbound.errors import UserError
from knowbound.outputs import Field

FLOOR = 1e-6
"""Of the mean distance of training images: shorter ones, of which the logarithm would decide alone,
count as this."""


class CentreAndStages(Detector):
    """Scores an image by z(log centre distance) + z(log stage distance).

    The first is that of ``NearestCentre`` on the embedding, the second that of ``StageMahalanobis``
    on the stages.  z subtracts the mean of the training images' logarithms and divides by their
    standard deviation.  As a shift is the same for every image, only the ratio of the two
    deviations counts.  An image's class is that of the nearest centre.  The unit of single features
    of the embedding matters, as for the nearest centre; that of the stages does not.
    """

    reads: tuple[Field, ...] = ("stages", "embedding")
    mean: Tensor
    deviation: Tensor
    floor: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.centre, self.stages = NearestCentre(), StageMahalanobis()
        for name in ("mean", "deviation", "floor"):
            self.register_buffer(name, torch.empty(0, dtype=torch.float64))

    def fit(self, vectors: Tensor, labels: Tensor) -> Self:
        """Fit both detectors, and keep mean, deviation and floor (2,) of their logarithms.

        Args:
            vectors: (N, S + D) stages and embeddings of training images, as ``read`` gave them.
            labels: (N,) in 0..C-1.

        Raises:
            ValueError: vectors that are not what ``read`` last gave, or a class without an image.
            UserError: one of the two distances is the same for all images.
        """
        if len(self.widths) != len(self.reads) or sum(self.widths) != vectors.shape[1]:
            raise ValueError(
                f"vectors of {vectors.shape[1]} columns came; expected what read() gives, which "
                f"last had {self.widths} columns of {' and '.join(self.reads)}"
            )
        stages, embedding = vectors.split(self.widths, dim=1)[:2]
        self.centre.fit(embedding, labels)
        self.stages.fit(stages, labels)
        distances = self._distances(vectors)
        same = distances.amin(dim=0) == distances.amax(dim=0)
        if same.any():
            raise UserError(
                f"the distance to the {'centres' if same[0] else 'class means of the stages'} "
                f"gives every image the same score after learning from {len(labels)} training "
                f"images, {int(count_classes(labels).min())} of the smallest class: give more and "
                "different images of each class, or take another detector"
            )
        self.floor = FLOOR * distances.mean(dim=0)
        logs = distances.clamp(min=self.floor).log()
        self.mean, self.deviation = logs.mean(dim=0), logs.std(dim=0, correction=0)
        return self

    def centres_in(self, field: Field) -> Tensor | None:
        """The centres of the distance that decides the class, if the field is the embedding.

        Args:
            field: an output of the network.

        Returns:
            (C, D), or None.
        """
        return self.centre.centres_in(field)

    def score(self, vectors: Tensor) -> Tensor:
        """The sum of the standardised logarithms.

        Args:
            vectors: (N, S + D).

        Returns:
            (N,) float64 scores, higher = more out-of-distribution.
        """
        logs = self._distances(vectors).clamp(min=self.floor).log()
        return ((logs - self.mean) / self.deviation).sum(dim=1)

    def classify(self, vectors: Tensor) -> Tensor:
        """The class of the nearest centre.

        Args:
            vectors: (N, S + D).

        Returns:
            (N,) int64, in 0..C-1.
        """
        return self.centre.classify(self._split(vectors)[1])

    def _distances(self, vectors: Tensor) -> Tensor:
        """(N, S + D) -> (N, 2) float64: to the nearest centre, and of the stages."""
        stages, embedding = self._split(vectors)
        return torch.stack([self.centre.score(embedding).double(), self.stages.score(stages)], 1)

    def _split(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        first, second = self.stages.means.shape[1], self.centre.centres.shape[1]
        return vectors[:, :first], vectors[:, first : first + second]
