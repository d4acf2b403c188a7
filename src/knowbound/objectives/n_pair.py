"""The N-pair loss (Sohn 2016): a positive against every negative of the batch at once."""

from dataclasses import dataclass, field

from torch import Tensor
from torch.nn.functional import softplus

from knowbound.objectives.anchors import log_sum_exp, negatives, positive_pairs
from knowbound.objectives.batches import BalancedBatches
from knowbound.objectives.objective import MetricObjective, at_least_float32, expect_above_zero


@dataclass(frozen=True)
class NPair(MetricObjective):
    """The (N+1)-tuplet loss of Sohn (NIPS 2016, Eq. 6), over all pairs of one class.

    With anchor a, positive p and negative n:

        loss = mean over (a, p) of log(1 + sum over n of exp(x_a'x_n - x_a'x_p))
             + norm_weight * mean |x|^2

    Embeddings are not scaled, and the second term keeps them from growing; the mean is over
    in-distribution images.  Sohn draws two images of each of N classes; here every pair of one class
    counts, both ways, and every image of another class and every out-of-distribution image is a
    negative.

    Attributes:
        norm_weight: of the squared length of embeddings, above 0; 0.001 is that of TensorFlow's
            ``npairs_loss``, which writes it as 0.002 / 4 for each of two images.
        dim: length of the embedding.
        rule: how batches are built.
    """

    name = "n_pair"

    norm_weight: float = 0.001
    dim: int = 32
    rule: BalancedBatches = field(default_factory=BalancedBatches)

    def __post_init__(self) -> None:
        expect_above_zero(norm_weight=self.norm_weight, dim=self.dim)

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The mean over pairs of one class: embeddings (B, D), labels (B,), below 0 for
        out-of-distribution images."""
        embeddings = at_least_float32(embeddings)
        products = embeddings @ embeddings.T
        push = log_sum_exp(products, negatives(labels))
        anchor, positive = positive_pairs(labels)
        terms = softplus(push[anchor] - products[anchor, positive])
        lengths = embeddings[labels >= 0].square().sum(dim=1)
        return _mean(terms) + self.norm_weight * _mean(lengths)


def _mean(values: Tensor) -> Tensor:
    """The mean; 0, with gradients, of no values."""
    return values.sum() / max(1, len(values))
