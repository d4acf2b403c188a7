"""Two heads on one network (end of Section 4.1): the class from one, the distance from the other."""

from dataclasses import dataclass, field

from torch import Tensor

from knowbound.objectives.batches import BalancedBatches
from knowbound.objectives.confidence import kl_from_uniform
from knowbound.objectives.contrastive import Contrastive
from knowbound.objectives.cross_entropy import mean_cross_entropy
from knowbound.objectives.objective import MetricObjective, Objective, at_least_float32
from knowbound.outputs import Outputs
from knowbound.values import JsonObject


@dataclass(frozen=True)
class TwoHeads(Objective):
    """Cross-entropy on the logits + ``weight`` times a metric loss on the embedding.

    Out-of-distribution images take part in the metric loss alone, as in ODM; with ``undecided``
    above 0 the class head is also taught to be undecided on them.

    Attributes:
        weight: of the metric loss, above 0.  Eq. 1 with a margin of 10 is of the order of 10 where
            cross-entropy is of the order of 1.
        undecided: weight of KL(uniform || softmax) on out-of-distribution images, 0 or more, as in
            ``ConfidenceLoss``.
        metric: the metric loss; its own rule is not used.
        rule: how batches are built, for both losses.
    """

    name = "two_heads"
    heads = ("embedding", "logits")

    weight: float = 0.1
    undecided: float = 0.0
    metric: MetricObjective = field(default_factory=Contrastive)
    rule: BalancedBatches = field(default_factory=BalancedBatches)

    def __post_init__(self) -> None:
        if not self.weight > 0 or not self.undecided >= 0:
            raise ValueError(
                f"weight {self.weight} and undecided {self.undecided} were asked for; expected "
                "the first above 0, the second 0 or more"
            )

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The metric loss alone: embeddings (B, D), labels (B,), below 0 for out-of-distribution
        images."""
        return self.metric(embeddings, labels)

    def loss(self, outputs: Outputs, labels: Tensor) -> Tensor:
        """Both losses of a batch, a scalar; a part without images counts 0.

        Args:
            outputs: of the network for the B images, with both heads.
            labels: (B,) in 0..C-1, or below 0 for out-of-distribution images.
        """
        logits = at_least_float32(outputs.get("logits"))
        class_loss = mean_cross_entropy(logits, labels)
        if self.undecided:
            class_loss = class_loss + self.undecided * kl_from_uniform(logits[labels < 0])
        return class_loss + self.weight * self.metric.loss(outputs, labels)

    def head_sizes(self, classes: int) -> dict[str, int]:
        """The metric loss's embedding, and a logit for each class.

        Args:
            classes: how many.
        """
        return {**self.metric.head_sizes(classes), "logits": classes}

    @property
    def scale(self) -> float:
        """That of the metric loss."""
        return self.metric.scale

    def to_dict(self) -> JsonObject:
        """The settings as JSON values, those of the metric loss without a rule of its own."""
        metric = self.metric.to_dict()
        del metric["rule"]
        return {**super().to_dict(), "metric": metric}
