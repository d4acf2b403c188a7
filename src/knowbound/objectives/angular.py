"""The angular loss (Wang et al. 2017): the angle at a negative, as the corner of a triangle, is
small."""

import math
from dataclasses import dataclass, field

from torch import Tensor
from torch.nn.functional import softplus

from knowbound.objectives.anchors import log_sum_exp, negatives, positive_pairs, sum_in_blocks
from knowbound.objectives.batches import BalancedBatches
from knowbound.objectives.distances import cosines
from knowbound.objectives.objective import MetricObjective, at_least_float32, expect_above_zero


@dataclass(frozen=True)
class Angular(MetricObjective):
    """The angular loss of Wang et al. (ICCV 2017, Section 3), over all pairs of one class.

    With x an embedding of unit length, anchor a, positive p and negative n:

        f_apn = 4 tan(angle)^2 (x_a + x_p)'x_n - 2 (1 + tan(angle)^2) x_a'x_p
        loss  = mean over (a, p) of log(1 + sum over n of exp f_apn)

    They draw one positive for each anchor; here every pair of one class counts once, and every
    image of another class and every out-of-distribution image of the batch is a negative.

    Attributes:
        angle: their alpha, in degrees, above 0 and below 90.
        dim: length of the embedding.
        rule: how batches are built.
    """

    name = "angular"
    unit_length = True

    angle: float = 45.0
    dim: int = 32
    rule: BalancedBatches = field(default_factory=BalancedBatches)

    def __post_init__(self) -> None:
        expect_above_zero(angle=self.angle, dim=self.dim)
        if self.angle >= 90:
            raise ValueError(f"angle {self.angle} was asked for; expected less than 90 degrees")

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The mean over pairs of one class: embeddings (B, D) of any length, labels (B,), below 0
        for out-of-distribution images."""
        similarity, apart = cosines(at_least_float32(embeddings)), negatives(labels)
        steep = math.tan(math.radians(self.angle)) ** 2

        def part(anchor: Tensor, positive: Tensor) -> Tensor:
            to_negatives = 4 * steep * (similarity[anchor] + similarity[positive])
            push = log_sum_exp(to_negatives, apart[anchor])
            return softplus(push - 2 * (1 + steep) * similarity[anchor, positive]).sum()

        anchor, positive = positive_pairs(labels, both_ways=False)
        total = sum_in_blocks(part, anchor, positive, width=len(labels))
        return total / max(1, len(anchor))
