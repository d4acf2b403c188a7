"""The confidence loss of Lee et al. (ICLR 2018, Eq. 1): sure of in-distribution images, undecided on
seen-out images."""

import math
from dataclasses import dataclass, field

from torch import Tensor
from torch.nn.functional import log_softmax

from knowbound.objectives.batches import RandomBatchesWithOuts
from knowbound.objectives.cross_entropy import mean_cross_entropy
from knowbound.objectives.objective import Objective, at_least_float32


def kl_from_uniform(logits: Tensor) -> Tensor:
    """Mean over images of KL(uniform || softmax) in nats, a scalar of at least 0; 0, with
    gradients, for no images.

    With p the softmax of an image:

        KL = sum over classes of 1/C log(1/C / p_c) = -log C - mean over c of log p_c

    Args:
        logits: (N, C).
    """
    if not len(logits):
        return logits.sum() * 0.0
    return -log_softmax(logits, dim=1).mean() - math.log(logits.shape[1])


@dataclass(frozen=True)
class ConfidenceLoss(Objective):
    """Cross-entropy on in-distribution images + ``weight`` times KL(uniform || softmax) on
    out-of-distribution images, each a mean per image.

    Lee et al. make those images with a network of their own (``knowbound.ccag``); here they are the
    seen-out images, as in the experiments of their Section 3.1.  ``OutlierExposure`` of the same
    weight differs from it by the constant weight log C alone.

    Attributes:
        weight: their beta, 0 or more (1 and 0.1 in their experiments).
        rule: how batches are built; both kinds of images at random.

    Raises:
        ValueError: a weight below 0.
    """

    name = "confidence"
    heads = ("logits",)
    needs_outs = True

    weight: float = 1.0
    rule: RandomBatchesWithOuts = field(default_factory=RandomBatchesWithOuts)

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise ValueError(f"a weight of {self.weight} was asked for; expected 0 or more")

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """A scalar from logits (B, C) and labels (B,), below 0 for out-of-distribution images; a part
        without images counts 0."""
        logits = at_least_float32(logits)
        return mean_cross_entropy(logits, labels) + self.weight * kl_from_uniform(
            logits[labels < 0]
        )
