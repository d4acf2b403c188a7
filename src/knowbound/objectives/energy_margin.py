"""The energy-bounded fine-tuning loss of Liu et al. (NeurIPS 2020, Section 3.3): two squared hinges
on the free energy."""

from dataclasses import dataclass, field

from torch import Tensor

from knowbound.objectives.batches import RandomBatchesWithOuts
from knowbound.objectives.cross_entropy import mean_cross_entropy
from knowbound.objectives.objective import Objective, at_least_float32


def free_energy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """E = -T logsumexp(logits / T) of each image, (N,): low for what the network knows.

    Args:
        logits: (N, C).
        temperature: T, above 0.
    """
    return -temperature * (logits / temperature).logsumexp(dim=1)


@dataclass(frozen=True)
class EnergyMargin(Objective):
    """Cross-entropy on in-distribution images + ``weight`` times two squared hinges on the energy E:
    the mean of max(0, E - in_margin)^2 over them, that of max(0, out_margin - E)^2 over the others.

    It is made for **fine-tuning a network already trained** with cross-entropy (theirs: 10 epochs
    at rate 0.001, WRN-40-2): from random weights E is near -log C, far from both margins, and the
    hinges outweigh the cross-entropy.  For other data than theirs take the margins from about the
    mean energies of the two kinds of images before fine-tuning.

    Attributes:
        weight: 0 or more; 0.1 in their code.
        in_margin: above which an in-distribution image's energy is punished (-23 with CIFAR-10, -27
            with CIFAR-100).
        out_margin: below which an out-of-distribution image's energy is punished (-5); above
            ``in_margin``.
        temperature: T, above 0.
        rule: how batches are built; both kinds of images at random.

    Raises:
        ValueError: settings that cannot be meant.
    """

    name = "energy_margin"
    heads = ("logits",)
    needs_outs = True

    weight: float = 0.1
    in_margin: float = -23.0
    out_margin: float = -5.0
    temperature: float = 1.0
    rule: RandomBatchesWithOuts = field(
        default_factory=lambda: RandomBatchesWithOuts(images=128, outs=256)
    )

    def __post_init__(self) -> None:
        if not self.weight >= 0 or not self.temperature > 0:
            raise ValueError(
                f"weight {self.weight} and temperature {self.temperature} were asked for; "
                "expected a weight of 0 or more and a temperature above 0"
            )
        if not self.in_margin < self.out_margin:
            raise ValueError(
                f"in_margin {self.in_margin} and out_margin {self.out_margin} were asked for; "
                "expected the first below the second, as in-distribution images have the lower "
                "energy"
            )

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """A scalar from logits (B, C) and labels (B,), below 0 for out-of-distribution images; a part
        without images counts 0."""
        logits = at_least_float32(logits)
        energy, inside = free_energy(logits, self.temperature), labels >= 0
        too_high = (energy[inside] - self.in_margin).clamp(min=0).square()
        too_low = (self.out_margin - energy[~inside]).clamp(min=0).square()
        return mean_cross_entropy(logits, labels) + self.weight * (_mean(too_high) + _mean(too_low))


def _mean(values: Tensor) -> Tensor:
    """The mean; 0, with gradients, of no values, of which torch's mean is not a number."""
    return values.sum() / max(1, len(values))
