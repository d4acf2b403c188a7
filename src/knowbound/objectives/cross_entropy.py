"""The softmax loss on in-distribution labels: what the compared methods are trained with."""

from dataclasses import dataclass, field

from torch import Tensor
from torch.nn.functional import cross_entropy

from knowbound.objectives.batches import RandomBatches
from knowbound.objectives.objective import Objective, at_least_float32


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy in nats over in-distribution images, a scalar; 0, with gradients, for none.

    Args:
        logits: (B, C).
        labels: (B,), below 0 for images that are left out.
    """
    inside = labels >= 0
    if not inside.any():
        return logits.sum() * 0.0
    return cross_entropy(logits[inside], labels[inside])


@dataclass(frozen=True)
class CrossEntropy(Objective):
    """Cross-entropy over the C classes.  Out-of-distribution images play no part.

    Attributes:
        rule: how batches are built; in-distribution images at random.
    """

    name = "cross_entropy"
    heads = ("logits",)
    uses_outs = False

    rule: RandomBatches = field(default_factory=RandomBatches)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of logits (B, C) with labels (B,); images below 0 are left out."""
        return mean_cross_entropy(at_least_float32(logits), labels)

    def called(self, outs: bool) -> str:
        """``ce``."""
        return "ce"
