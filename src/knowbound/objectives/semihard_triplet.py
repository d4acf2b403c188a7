"""FaceNet's triplet loss (Schroff et al. 2015) on the semi-hard triplets of a batch."""

from dataclasses import dataclass, field

from torch import Tensor

from knowbound.objectives.anchors import mean_over_triplets, negatives
from knowbound.objectives.batches import BalancedBatches
from knowbound.objectives.distances import distances, unit_length
from knowbound.objectives.objective import MetricObjective, at_least_float32, expect_above_zero


@dataclass(frozen=True)
class SemihardTriplet(MetricObjective):
    """The triplet loss of FaceNet (Schroff et al., CVPR 2015, Eq. 3), over the semi-hard triplets.

    With D^2 the squared Euclidean distance of embeddings of unit length, between 0 and 4, and
    anchor a, positive p and negative n:

        loss = mean max(0, D^2_ap - D^2_an + margin)   over  D^2_ap < D^2_an < D^2_ap + margin

    Every anchor goes with every positive; of the negatives those count that are farther than the
    positive (their Eq. 4) but within the margin.

    Attributes:
        margin: their alpha, a squared distance.
        dim: length of the embedding.
        rule: how batches are built.
    """

    name = "semihard_triplet"
    unit_length = True

    margin: float = 0.2
    dim: int = 32
    rule: BalancedBatches = field(default_factory=BalancedBatches)

    def __post_init__(self) -> None:
        expect_above_zero(margin=self.margin, dim=self.dim)

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The mean over semi-hard triplets: embeddings (B, D) of any length, labels (B,), below 0
        for out-of-distribution images."""
        squared = distances(unit_length(at_least_float32(embeddings))).square()
        apart = negatives(labels)

        def values(anchor: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
            beyond = squared[anchor] - squared[anchor, positive][:, None]
            semihard = (beyond > 0) & (beyond < self.margin)
            return self.margin - beyond, apart[anchor] & semihard

        return mean_over_triplets(values, labels)
