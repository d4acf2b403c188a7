"""What a boundary is built from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

from knowbound.backbones import Backbone
from knowbound.boundary.boundary import Judging
from knowbound.boundary.conformal import By
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import Source
from knowbound.detectors.detector import Detector
from knowbound.objectives.objective import Objective
from knowbound.training import Trained, Training, train
from knowbound.training.loop import Progress
from knowbound.values import JsonMapping, JsonObject

OnStep = Callable[[Progress], None]


class Trainer(Protocol):
    """What trains a backbone in place: ``training.train``, or another with its arguments."""

    def __call__(
        self,
        backbone: Backbone,
        source: Source,
        outs: Sequence[Source],
        objective: Objective,
        training: Training,
        *,
        checkpoint: Path | None = None,
        resume: bool = False,
        identity: JsonObject | None = None,
        on_step: OnStep | None = None,
    ) -> Trained:
        """Train, and say what the training was."""


@dataclass(frozen=True, eq=False)
class Base:
    """A training on the known images alone, from which the main one starts.

    objective: what it is trained with, on no out-of-distribution image; training: for how long, or
    None where the network that is given is one already; synthetic: images of each kind of synthetic
    outliers to show to the main training, made from what the base says of changed copies of the
    known images; 0 for none.
    """

    objective: Objective
    training: Training | None
    synthetic: int = 0


@dataclass(frozen=True, eq=False)
class Chosen:
    """A detector, and how it was chosen: ``tuning`` as an object, ``note`` as JSON values."""

    detector: Detector
    tuning: Any = None
    note: JsonMapping = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Parts:
    """What a boundary is built from.

    backbone: from the heads' sizes, as keyword arguments, to a network with fresh weights;
    detector: from the trained network, the images that it learned and those to choose by, if there
    are any, to a fresh detector, with what to note of its choice; base: what is trained first, if
    anything; acceptance, by, confidence, max_error: the promise, as in ``Boundary.calibrate``; judging: number format, as
    in ``Boundary``; networks: how many are trained, from other seeds, and judge together.
    """

    backbone: Callable[..., Backbone]
    backbone_name: str
    objective: Objective
    detector: Callable[[Backbone, Source, Source | None], Chosen]
    training: Training
    preprocessing: Preprocessing
    acceptance: float = 0.95
    by: By = "all"
    confidence: float | None = None
    max_error: float | None = None
    judging: Judging = "float32"
    trainer: Trainer = train
    base: Base | None = None
    networks: int = 1

    @property
    def seed(self) -> int:
        """Of everything random."""
        return self.training.seed

    def of_network(self, number: int) -> Self:
        """The parts of one of the networks: its seed is the first one's and ``number`` more.

        Args:
            number: 0 for the first.
        """
        training = replace(self.training, seed=self.seed + number)
        base = self.base
        if base and base.training:
            base = replace(base, training=replace(base.training, seed=base.training.seed + number))
        return replace(self, training=training, base=base)
