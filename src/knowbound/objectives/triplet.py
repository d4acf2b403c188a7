"""The loss of the triplet network (Hoffer and Ailon 2015): which of two distances is the shorter
one."""

from dataclasses import dataclass, field

from torch import Tensor

from knowbound.objectives.anchors import mean_over_triplets, negatives
from knowbound.objectives.batches import BalancedBatches
from knowbound.objectives.distances import distances
from knowbound.objectives.objective import MetricObjective, at_least_float32, expect_above_zero


@dataclass(frozen=True)
class Triplet(MetricObjective):
    """The triplet loss of Hoffer and Ailon (SIMBAD 2015, Section 2.2), over all triplets of a batch.

    With D the Euclidean distance, anchor a, positive p and negative n:

        d+ = exp(D_ap) / (exp(D_ap) + exp(D_an)),  d- = 1 - d+
        loss = mean |(d+, d- - 1)|^2 = mean 2 (d+)^2

    It has no margin, and embeddings are not scaled.  ``Ranking`` is the hinge on a margin that is
    also called the triplet loss.

    Attributes:
        dim: length of the embedding.
        rule: how batches are built.
    """

    name = "triplet"

    dim: int = 32
    rule: BalancedBatches = field(default_factory=BalancedBatches)

    def __post_init__(self) -> None:
        expect_above_zero(dim=self.dim)

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The mean over triplets: embeddings (B, D), labels (B,), below 0 for out-of-distribution
        images."""
        distance, apart = distances(at_least_float32(embeddings)), negatives(labels)

        def values(anchor: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
            to_positive = distance[anchor, positive][:, None]
            return 2 * (to_positive - distance[anchor]).sigmoid().square(), apart[anchor]

        return mean_over_triplets(values, labels)
