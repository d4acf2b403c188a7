"""How a network with published weights is fine-tuned, as one frozen value."""

import math
from dataclasses import dataclass, field

from knowbound.backbones.backbone import Depth
from knowbound.data.photograph_views import PhotographViews

RISE = 5
"""Steps in which the learning rate rises."""


@dataclass(frozen=True)
class Tuning:
    """How a network is fine-tuned.

    Attributes:
        depth: ``last``, the last layers alone, or ``all``.
        steps: batches, 1 or more.
        learning_rate: Adam's largest, above 0; it falls to 0 along a cosine.
        images: in a batch, as many of each class.
        scale: what products of unit-length features and a class's direction are multiplied by.
        views: what images undergo.
        per_image: views of each image, itself among them, that the last layers see; all of it sees
            a new one in each batch.
        seed: of everything random.

    Raises:
        ValueError: a setting that cannot be.
    """

    depth: Depth = "last"
    steps: int = 30
    learning_rate: float = 3e-4
    images: int = 40
    scale: float = 16.0
    views: PhotographViews = field(default_factory=PhotographViews)
    per_image: int = 3
    seed: int = 0

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        rise = min(1.0, (step + 1) / RISE)
        return (
            self.learning_rate * rise * (1 + math.cos(math.pi * (step + 1) / (self.steps + 1))) / 2
        )

    def __post_init__(self) -> None:
        counts = (self.steps, self.images, self.per_image)
        if min(counts) < 1 or not self.learning_rate > 0 or not self.scale > 0:
            raise ValueError(
                f"{self} was asked for; expected steps, images and views of 1 or more, and a "
                "learning rate and a scale above 0"
            )
