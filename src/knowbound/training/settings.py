"""How a backbone is trained, as one frozen value."""

import math
from dataclasses import dataclass, field
from typing import Literal

from knowbound.data.augmentation import Augmentation
from knowbound.training.pace import Precision


@dataclass(frozen=True)
class Training:
    """How a backbone is trained.

    Under ``auto`` and None the machine's abilities decide (``pace.choose_pace``), never a timing:
    the same seed gives the same network.

    Attributes:
        steps: batches, 1 or more.
        learning_rate: Adam's largest, above 0.
        schedule: ``one-cycle`` (rises over ``rise``, then falls to 0 along a cosine) or
            ``constant`` (divided by 10 at each of ``drops``).
        rise: share of the steps, from 0 up to, not including, 1.
        drops: shares of the steps.
        weight_decay: decoupled (AdamW).
        l2: instead of it, a penalty of l2 / 2 times the sum of squares in the loss, whose gradient
            Adam rescales.
        augmentation: of every training image.
        clip: largest norm of the whole gradient, 0 = no limit.
        precision: ``bf16`` (autocast), ``float32``, or ``auto``.
        channels_last: whether images and weights are in that memory order.
        compile: whether to use torch.compile.
        resolution: (from which share of the steps on, to which share of their side images are
            shrunk).  Small images first cost a fraction and leave little to learn for the large
            ones; for networks that take any size.
        seed: of everything random.
        checkpoint_every: steps between two checkpoints.

    Raises:
        ValueError: a setting that cannot be.
    """

    steps: int = 1500
    learning_rate: float = 2e-3
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    rise: float = 0.3
    drops: tuple[float, ...] = ()
    weight_decay: float = 0.0
    l2: float = 0.0
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(shift=2))
    clip: float = 0.0
    precision: Precision = "auto"
    channels_last: bool | None = None
    compile: bool | None = None
    resolution: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    seed: int = 0
    checkpoint_every: int = 250

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.learning_rate > 0:
            raise ValueError(
                f"{self.steps} steps at rate {self.learning_rate} were asked for; expected both "
                "above 0"
            )
        if self.weight_decay and self.l2:
            raise ValueError(
                f"weight_decay={self.weight_decay} and l2={self.l2} were asked for; expected only "
                "one of them above 0"
            )
        if not 0 <= self.rise < 1:
            raise ValueError(
                f"a rise over {self.rise} of the steps was asked for; expected a share from 0 up "
                "to, not including, 1"
            )
        starts = [start for start, _ in self.resolution]
        if (
            starts[:1] != [0.0]
            or starts != sorted(starts)
            or not all(0 < scale <= 1 for _, scale in self.resolution)
        ):
            raise ValueError(
                f"the resolution {self.resolution} was asked for; expected shares of the steps "
                "that rise from 0, each with a share of the image's side above 0 and at most 1"
            )

    def rate_at(self, step: int) -> float:
        """The learning rate of a step.

        Args:
            step: 0..steps-1.
        """
        if self.schedule == "constant":
            return float(
                self.learning_rate * 0.1 ** sum(step >= drop * self.steps for drop in self.drops)
            )
        rise = self.rise * self.steps
        if step < rise:
            return self.learning_rate * (0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * step / rise)))
        return (
            self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / (self.steps - rise)))
        )

    def scale_at(self, step: int) -> float:
        """The share of their side to which images are shrunk at a step.

        Args:
            step: 0..steps-1.
        """
        return next(
            scale for start, scale in reversed(self.resolution) if step >= start * self.steps
        )
