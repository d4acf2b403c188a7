"""The contrastive loss, Eq. 1 of the paper, and the objective that joins batches, pairs and Eq. 1.

ML and ODM are the same objective.  It is ODM where the batches hold seen-out images (labels below
0): such an image and an in-distribution image are a different-class pair, and two seen-out images
are no pair.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from knowbound.objectives.all_pairs import all_pairs_loss
from knowbound.objectives.batches import AuthorsBatches, BalancedBatches
from knowbound.objectives.objective import MetricObjective, at_least_float32, expect_above_zero
from knowbound.objectives.pairs import partner_pairs


def contrastive_loss(
    first: Tensor, second: Tensor, same: Tensor, margin: float, *, squared: bool = True
) -> Tensor:
    """Mean of Eq. 1 over pairs, a scalar; 0 for no pairs.

    With D the Euclidean distance of a pair:

        squared (Eq. 1):      same class 1/2 D^2,  different 1/2 max(0, margin - D)^2
        linear (as released): same class 1/2 D,    different 1/2 max(0, margin - D)

    Args:
        first: (P, D) embeddings.
        second: (P, D) embeddings of their partners.
        same: (P,) bool; the paper's y is ``not same``.
        margin: a distance, above 0.
        squared: Eq. 1, else the linear variant.
    """
    if not len(same):
        return (first.sum() + second.sum()) * 0.0
    distance = torch.linalg.vector_norm(first - second, dim=1)  # its gradient at 0 is 0
    pull, push = distance, (margin - distance).clamp(min=0)
    if squared:
        pull, push = pull.square(), push.square()
    return 0.5 * torch.where(same, pull, push).mean()


@dataclass(frozen=True)
class Contrastive(MetricObjective):
    """Metric learning with the contrastive loss (Section 3.1); with out-of-distribution images in the
    batch, ODM (Section 3.2).

    Attributes:
        margin: a distance (10 in Table 1).
        squared: Eq. 1 as printed, or the linear variant of the released code.
        rule: how batches are built.
        pairs: ``all`` pairs of the batch, or ``partners`` (i with i + B/2, the authors').
        dim: length of the embedding.
        same_share: with ``all``, total weight of same-class pairs, between 0 and 1 (the authors draw
            a quarter of such pairs).  None: every pair weighs the same, so that with many classes
            those few pairs hardly count.

    Raises:
        ValueError: settings that do not go together.
    """

    name = "contrastive"

    margin: float = 10.0
    squared: bool = True
    rule: BalancedBatches | AuthorsBatches = field(default_factory=BalancedBatches)
    pairs: Literal["all", "partners"] = "all"
    dim: int = 32
    same_share: float | None = None

    def __post_init__(self) -> None:
        if not self.margin > 0:
            raise ValueError(
                f"a margin of {self.margin} was asked for; expected a distance above 0"
            )
        expect_above_zero(dim=self.dim)
        if self.pairs not in ("all", "partners"):
            raise ValueError(f"pairs {self.pairs!r} are unknown; expected 'all' or 'partners'")
        if self.same_share is not None and not 0 < self.same_share < 1:
            raise ValueError(
                f"a share of same-class pairs of {self.same_share} was asked for; expected "
                "between 0 and 1, or None"
            )
        if self.same_share is not None and self.pairs != "all":
            raise ValueError(
                "a share of same-class pairs was given with pairs='partners', whose batches have "
                "a share of their own"
            )

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean of Eq. 1 over the pairs of the batch: embeddings (B, D), labels (B,), below 0 for
        out-of-distribution images."""
        embeddings = at_least_float32(embeddings)
        if self.pairs == "all":
            return all_pairs_loss(
                embeddings, labels, self.margin, squared=self.squared, same_share=self.same_share
            )
        first, second, same = partner_pairs(labels)
        return contrastive_loss(
            embeddings[first], embeddings[second], same, self.margin, squared=self.squared
        )

    @property
    def scale(self) -> float:
        """The margin: a loss with a margin of 10 learns sooner from distances of about 10 than 1."""
        return self.margin

    def called(self, outs: bool) -> str:
        """``odm`` with seen-out images, ``ml`` without: the same objective under two names.

        Args:
            outs: whether there were seen-out images.
        """
        return "odm" if outs else "ml"
