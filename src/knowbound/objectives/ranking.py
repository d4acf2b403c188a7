"""The hinge loss of deep ranking (Wang et al. 2014): a positive is closer than a negative, by a
margin."""

from dataclasses import dataclass, field

from torch import Tensor

from knowbound.objectives.anchors import mean_over_triplets, negatives
from knowbound.objectives.batches import BalancedBatches
from knowbound.objectives.distances import distances, unit_length
from knowbound.objectives.objective import MetricObjective, at_least_float32, expect_above_zero


@dataclass(frozen=True)
class Ranking(MetricObjective):
    """The ranking loss of Wang et al. (CVPR 2014, Section 3), over all triplets of a batch.

    With D^2 the squared Euclidean distance of embeddings of unit length, between 0 and 4, and
    anchor a, positive p and negative n:

        loss = mean max(0, margin + D^2_ap - D^2_an)

    Attributes:
        margin: their gap g, a squared distance.
        dim: length of the embedding.
        rule: how batches are built.
    """

    name = "ranking"
    unit_length = True

    margin: float = 1.0
    dim: int = 32
    rule: BalancedBatches = field(default_factory=BalancedBatches)

    def __post_init__(self) -> None:
        expect_above_zero(margin=self.margin, dim=self.dim)

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The mean over triplets: embeddings (B, D) of any length, labels (B,), below 0 for
        out-of-distribution images."""
        squared = distances(unit_length(at_least_float32(embeddings))).square()
        apart = negatives(labels)

        def values(anchor: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
            to_positive = squared[anchor, positive][:, None]
            return (self.margin + to_positive - squared[anchor]).clamp(min=0), apart[anchor]

        return mean_over_triplets(values, labels)
