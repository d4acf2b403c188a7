"""Train, learn, calibrate: once, for ``fit`` and for every row of every table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from knowbound.backbones import Backbone
from knowbound.boundary import Boundary
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import Source
from knowbound.detectors.detector import Detector
from knowbound.objectives.objective import Objective
from knowbound.provenance import commit, provenance
from knowbound.training import Trained, Training, train
from knowbound.training.loop import Progress

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
        identity: dict[str, Any] | None = None,
        on_step: OnStep | None = None,
    ) -> Trained:
        """Train, and say what the training was."""


@dataclass(frozen=True, eq=False)
class Parts:
    """What a boundary is built from.

    backbone: from the heads' sizes, as keyword arguments, to a network with fresh weights;
    detector: from the trained network to a fresh detector, with what to note of its choice.
    """

    backbone: Callable[..., Backbone]
    backbone_name: str
    objective: Objective
    detector: Callable[[Backbone], "Chosen"]
    training: Training
    preprocessing: Preprocessing
    acceptance: float = 0.95
    trainer: Trainer = train


@dataclass(frozen=True, eq=False)
class Chosen:
    """A detector, and how it was chosen: ``tuning`` as an object, ``note`` as JSON values."""

    detector: Detector
    tuning: Any = None
    note: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Built:
    """A calibrated boundary, the training behind it, and how its detector was chosen."""

    boundary: Boundary
    trained: Trained
    chosen: Chosen


def build(
    parts: Parts,
    learned: Source,
    held_out: Source,
    seen_out: Sequence[Source] = (),
    *,
    data_sha256: Mapping[str, str],
    identity: Mapping[str, Any] | None = None,
    note: Mapping[str, Any] | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    on_step: OnStep | None = None,
) -> Built:
    """Train a network, fit its detector and set its threshold.

    Args:
        parts: what it is built from.
        learned: in-distribution training images, labels 0..C-1.
        held_out: others, of the same classes, to set the threshold from.
        seen_out: sets of out-of-distribution images shown in training.
        data_sha256: hash of every set of images, by its role; a checkpoint must agree with it.
        identity: what else a checkpoint must agree with.
        note: what to add to the settings in the model's ``about``.
        checkpoint: where the state of the training is kept.
        resume: whether to continue from it, bit for bit on a CPU.
        on_step: called after every step.

    Raises:
        UserError: images that cannot be trained on, or a checkpoint of another training.
        TrainingStoppedError: the training cannot continue.
    """
    commit()  # a long run's rows come from the code it started with
    torch.manual_seed(parts.training.seed)
    backbone = parts.backbone(**parts.objective.head_sizes(len(learned.class_names)))
    trained = parts.trainer(
        backbone,
        learned,
        seen_out,
        parts.objective,
        parts.training,
        checkpoint=checkpoint,
        resume=resume,
        identity={
            "images": dict(data_sha256),
            "network": parts.backbone_name,
            "preprocessing": parts.preprocessing.to_dict(),
            **(identity or {}),
        },
        on_step=on_step,
    )
    chosen = parts.detector(backbone)
    settings = {
        "objective": parts.objective.to_dict(),
        "training": asdict(parts.training),
        "pace": trained.pace.to_dict(),
        "acceptance": parts.acceptance,
        **(note or {}),
        **chosen.note,
    }
    about = {
        "objective": parts.objective.called(bool(seen_out)),
        "train_seconds": round(trained.seconds, 2),
        "train_images": trained.images,
        **provenance(settings, data_sha256, trained.hardware),
    }
    boundary = Boundary(
        backbone,
        chosen.detector,
        parts.preprocessing,
        learned.class_names,
        acceptance=parts.acceptance,
        about=about,
    )
    boundary.learn(learned).calibrate(held_out)
    return Built(boundary, trained, chosen)
