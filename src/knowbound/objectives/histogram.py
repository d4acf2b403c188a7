"""The histogram loss (Ustinova and Lempitsky 2016): how often a negative pair is more alike than a
positive one."""

from dataclasses import dataclass, field

from torch import Tensor

from knowbound.objectives.anchors import negatives, positive_pairs
from knowbound.objectives.batches import BalancedBatches
from knowbound.objectives.distances import cosines
from knowbound.objectives.objective import MetricObjective, at_least_float32, expect_above_zero


def soft_histogram(similarities: Tensor, bins: int) -> Tensor:
    """The share of the pairs at each node, (bins + 1,); all 0 for no pairs.

    A similarity adds to the two nodes beside it, linearly by how near they are (their Eq. 2).

    Args:
        similarities: (P,) between -1 and 1.
        bins: steps between -1 and 1, at whose ends the nodes are.
    """
    position = ((similarities + 1) * (bins / 2)).clamp(0, bins)
    lower = position.detach().floor().clamp(max=bins - 1)
    upper_share = position - lower
    counts = similarities.new_zeros(bins + 1)
    counts = counts.index_add(0, lower.long(), 1 - upper_share)
    counts = counts.index_add(0, lower.long() + 1, upper_share)
    return counts / max(1, len(similarities))


@dataclass(frozen=True)
class Histogram(MetricObjective):
    """The histogram loss of Ustinova and Lempitsky (NIPS 2016, Eq. 3).

    With h+ and h- the histograms of the cosine similarities of pairs of one class and of other
    pairs, over nodes r:

        loss = sum over r of h-_r (sum over q <= r of h+_q)

    That is the probability that a pair of one class is less alike than another pair.  Two
    out-of-distribution images are no pair.  0 where either kind of pairs is missing.

    Attributes:
        bins: steps of the histograms between -1 and 1; 100 make their step of 0.02.
        dim: length of the embedding.
        rule: how batches are built.
    """

    name = "histogram"
    unit_length = True

    bins: int = 100
    dim: int = 32
    rule: BalancedBatches = field(default_factory=BalancedBatches)

    def __post_init__(self) -> None:
        expect_above_zero(bins=self.bins, dim=self.dim)

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The probability of the wrong order, 0 to 1: embeddings (B, D) of any length, labels (B,),
        below 0 for out-of-distribution images."""
        similarity, apart = cosines(at_least_float32(embeddings)), negatives(labels)
        once = apart & ~apart.T.tril()  # two classes are each other's negatives
        positive = soft_histogram(similarity[positive_pairs(labels, both_ways=False)], self.bins)
        negative = soft_histogram(similarity[once], self.bins)
        return (negative * positive.cumsum(dim=0)).sum()
