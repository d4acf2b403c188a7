"""Outlier exposure (Hendrycks et al., ICLR 2019): cross-entropy to the uniform distribution on
seen-out images."""

from dataclasses import dataclass, field

from torch import Tensor
from torch.nn.functional import log_softmax

from knowbound.objectives.batches import RandomBatchesWithOuts
from knowbound.objectives.cross_entropy import mean_cross_entropy
from knowbound.objectives.objective import Objective, at_least_float32


def cross_entropy_to_uniform(logits: Tensor) -> Tensor:
    """Mean over images of -1/C sum over classes of log softmax, in nats, at least log C; 0, with
    gradients, for no images.

    Args:
        logits: (N, C).
    """
    if not len(logits):
        return logits.sum() * 0.0
    return -log_softmax(logits, dim=1).mean()


@dataclass(frozen=True)
class OutlierExposure(Objective):
    """Cross-entropy on in-distribution images + ``weight`` times cross-entropy to uniform on
    out-of-distribution images, each a mean per image.

    Cross-entropy to uniform is KL(uniform || softmax) + log C, so this is ``ConfidenceLoss`` of the
    same weight plus the constant weight log C: the same gradients.  What sets the two papers apart
    is the weight and the images: Hendrycks et al. take weight 0.5 and twice as many
    out-of-distribution as in-distribution images, of a large and varied set.

    Attributes:
        weight: their lambda, 0 or more.
        rule: how batches are built; both kinds of images at random.

    Raises:
        ValueError: a weight below 0.
    """

    name = "outlier_exposure"
    heads = ("logits",)
    needs_outs = True

    weight: float = 0.5
    rule: RandomBatchesWithOuts = field(
        default_factory=lambda: RandomBatchesWithOuts(images=128, outs=256)
    )

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise ValueError(f"a weight of {self.weight} was asked for; expected 0 or more")

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """A scalar from logits (B, C) and labels (B,), below 0 for out-of-distribution images; a part
        without images counts 0."""
        logits = at_least_float32(logits)
        return mean_cross_entropy(logits, labels) + self.weight * cross_entropy_to_uniform(
            logits[labels < 0]
        )

    def called(self, outs: bool) -> str:
        """``oe``."""
        return "oe"
