"""Losses of pytorch-metric-learning, on this package's pairs: the only file that imports it."""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from knowbound.errors import UserError
from knowbound.objectives.anchors import negatives, positive_pairs
from knowbound.objectives.batches import BalancedBatches
from knowbound.objectives.distances import unit_length
from knowbound.objectives.objective import MetricObjective, at_least_float32, expect_above_zero
from knowbound.values import JsonObject

LOSSES = (
    "AngularLoss",
    "CircleLoss",
    "ContrastiveLoss",
    "GeneralizedLiftedStructureLoss",
    "LiftedStructureLoss",
    "MarginLoss",
    "MultiSimilarityLoss",
    "NTXentLoss",
    "SupConLoss",
    "TripletMarginLoss",
    "TupletMarginLoss",
)
"""Those that are functions of pairs or triplets alone, train a network without another loss beside
them, have no weights of their own, and compare embeddings by angle or Euclidean distance."""


def pairs(labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(anchor, positive, anchor, negative), indices of every pair that may count: an
    ``indices_tuple``.

    Args:
        labels: (B,), below 0 for out-of-distribution images, which are negatives alone.
    """
    anchor, negative = negatives(labels).nonzero(as_tuple=True)
    return *positive_pairs(labels), anchor, negative


def one_class_each(labels: Tensor) -> Tensor:
    """Labels under which every out-of-distribution image is in a class of its own.

    Args:
        labels: (B,), below 0 for out-of-distribution images.

    Returns:
        (B,) of 0 and more.
    """
    unused = int(labels.amax()) + 1 if len(labels) else 0
    own = max(0, unused) + torch.arange(len(labels), device=labels.device)
    return torch.where(labels < 0, own, labels)


@dataclass(frozen=True)
class MetricLearning(MetricObjective):
    """A loss of pytorch-metric-learning over the pairs of a batch; ``knowbound[metric-learning]``.

    Out-of-distribution images are negatives alone, as in ODM.  The loss, its equation and its
    settings are those of the class of that name there; embeddings are compared at unit length.

    Attributes:
        loss_name: one of ``LOSSES``; the multi-similarity loss (Wang et al., CVPR 2019) by default.
        settings: arguments of its constructor that are JSON values.
        dim: length of the embedding.
        rule: how batches are built.
    """

    name = "metric_learning"
    unit_length = True

    loss_name: str = "MultiSimilarityLoss"
    settings: JsonObject = field(default_factory=dict)
    dim: int = 32
    rule: BalancedBatches = field(default_factory=BalancedBatches)

    def __post_init__(self) -> None:
        expect_above_zero(dim=self.dim)
        if self.loss_name not in LOSSES:
            raise ValueError(
                f"the loss {self.loss_name!r} was asked for; expected one of {', '.join(LOSSES)}"
            )
        _ = self._function  # what is missing is told before any work

    @cached_property
    def _function(self) -> nn.Module:
        try:
            from pytorch_metric_learning import losses
        except ImportError as error:
            raise UserError(
                f"{self.loss_name} is a loss of pytorch-metric-learning, which is not installed; "
                "install knowbound[metric-learning], or take another objective"
            ) from error
        function: nn.Module = getattr(losses, self.loss_name)(**self.settings)
        return function

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch, a scalar: embeddings (B, D) of any length, labels (B,), below 0 for
        out-of-distribution images; 0 where there are no positive or no negative pairs."""
        embeddings, indices = at_least_float32(embeddings), pairs(labels)
        if not len(indices[0]) or not len(indices[2]):
            return embeddings.sum() * 0.0
        # scaled here: not every loss there scales all that it compares
        unit = unit_length(embeddings)
        value: Tensor = self._function(unit, one_class_each(labels), indices)
        return value.to(embeddings.dtype)

    def called(self, outs: bool) -> str:
        """The name of the loss."""
        del outs
        return self.loss_name
