"""The softmax loss on in-distribution labels: what the compared methods are trained with."""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from knowbound.objectives.batches import RandomBatches
from knowbound.objectives.objective import Objective


def at_least_float32(logits: Tensor) -> Tensor:
    """The logits as they are, half precision as float32: sums of exponentials need it."""
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy in nats over in images, a scalar: logits (B, C), labels (B,), below 0 left
    out; 0 if nothing is left."""
    inside = labels >= 0
    if not inside.any():
        return logits.sum() * 0.0
    return cross_entropy(logits[inside], labels[inside])


@dataclass(frozen=True)
class CrossEntropy(Objective):
    """Cross-entropy over the C classes; the embeddings are the logits, D = C.  Out images play no
    part."""

    name = "cross_entropy"
    heads = ("logits",)
    uses_outs = False

    rule: RandomBatches = field(default_factory=RandomBatches)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy: logits (B, C), labels (B,); out images (below 0) are left out; 0 if
        nothing is left."""
        return mean_cross_entropy(at_least_float32(logits), labels)

    def called(self, outs: bool) -> str:
        """``ce``."""
        return "ce"
