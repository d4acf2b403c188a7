"""The lifted structure loss (Song et al. 2016): a pair of one class against the negatives of
both."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from knowbound.objectives.anchors import log_sum_exp, negatives, positive_pairs
from knowbound.objectives.batches import BalancedBatches
from knowbound.objectives.distances import distances
from knowbound.objectives.objective import MetricObjective, at_least_float32, expect_above_zero


@dataclass(frozen=True)
class LiftedStructure(MetricObjective):
    """The lifted structured embedding of Song et al. (CVPR 2016, Eq. 4).

    With D the Euclidean distance, P the pairs of one class and N(i) the negatives of image i:

        J_ij = log( sum over k in N(i) of exp(margin - D_ik)
                  + sum over l in N(j) of exp(margin - D_jl) ) + D_ij
        loss = 1 / (2 |P|)  sum over P of max(0, J_ij)^2

    Embeddings are not scaled.  A pair without negatives counts 0.

    Attributes:
        margin: their alpha, a distance.
        dim: length of the embedding.
        rule: how batches are built.
    """

    name = "lifted_structure"

    margin: float = 1.0
    dim: int = 32
    rule: BalancedBatches = field(default_factory=BalancedBatches)

    def __post_init__(self) -> None:
        expect_above_zero(margin=self.margin, dim=self.dim)

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The mean over pairs of one class: embeddings (B, D), labels (B,), below 0 for
        out-of-distribution images."""
        distance = distances(at_least_float32(embeddings))
        push = log_sum_exp(self.margin - distance, negatives(labels))
        first, second = positive_pairs(labels, both_ways=False)
        terms = torch.logaddexp(push[first], push[second]) + distance[first, second]
        return 0.5 * terms.clamp(min=0).square().sum() / max(1, len(terms))
