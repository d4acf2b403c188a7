"""Train, learn, calibrate: once, for ``fit`` and for every row of every table."""

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from knowbound.backbones import Backbone
from knowbound.boundary import Boundary
from knowbound.boundary.boundary import Judging
from knowbound.boundary.threshold import By
from knowbound.data.outs.changed_copies import Invariances, measure_invariances
from knowbound.data.outs.synthetic import SyntheticOutliers, synthetic_outliers
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import Source
from knowbound.data.split import OutSet
from knowbound.detectors.detector import Detector
from knowbound.detectors.nearest_centre import NearestCentre
from knowbound.files import replace_file
from knowbound.labels import Kind
from knowbound.objectives.objective import Objective
from knowbound.provenance import commit, provenance
from knowbound.training import Trained, Training, train
from knowbound.training.loop import Progress
from knowbound.values import Array, JsonMapping, JsonObject

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
    None where the network that is given is one already; synthetic: images of each kind of synthetic outliers to show to the main training, made from
    what the base says of changed copies of the known images; 0 for none.
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
    are any, to a fresh detector, with what to note of its choice; base: what is trained first, if anything; acceptance,
    by, confidence, max_error: the promise, as in ``Boundary.calibrate``; judging: number format, as
    in ``Boundary``.
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

    @property
    def seed(self) -> int:
        """Of everything random."""
        return self.training.seed


@dataclass(frozen=True, eq=False)
class Built:
    """A calibrated boundary, the training behind it, and how its detector was chosen."""

    boundary: Boundary
    trained: Trained
    chosen: Chosen
    invariances: Invariances | None = None
    """How each class takes being mirrored, flipped and turned, where it was measured."""


def build(
    parts: Parts,
    learned: Source,
    held_out: Source,
    seen_out: Sequence[OutSet | Source] = (),
    *,
    held_groups: NDArray[np.int64] | None = None,
    choosing: Source | None = None,
    data_sha256: Mapping[str, str],
    identity: JsonMapping | None = None,
    note: JsonMapping | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    on_step: OnStep | None = None,
) -> Built:
    """Train a network, fit its detector and set its threshold.

    Args:
        parts: what it is built from.
        learned: in-distribution training images, labels 0..C-1.
        held_out: others, of the same classes, to set the threshold from.
        seen_out: sets of out-of-distribution images shown in training.  Those declared novelty or
            anomaly also teach the domain score.
        held_groups: (N,) of the held-out images that belong together (copies, tracks); None: each
            is on its own.
        choosing: images of the same classes, neither learned nor held out, to choose the detector
            by.
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
    identity = {
        "images": dict(data_sha256),
        "network": parts.backbone_name,
        "preprocessing": parts.preprocessing.to_dict(),
        **(identity or {}),
    }
    shown = [out.source if isinstance(out, OutSet) else out for out in seen_out]
    torch.manual_seed(parts.training.seed)
    sizes = parts.objective.head_sizes(len(learned.class_names))
    backbone = parts.backbone(**sizes)
    invariances, synthetic, about_base = None, SyntheticOutliers((), ()), {}
    if parts.base:
        kept = checkpoint.with_suffix(".base.safetensors") if checkpoint else None
        if parts.base.training:
            about_base = train_base(
                backbone,
                parts.base.objective,
                parts.base.training,
                learned,
                kept,
                resume=resume,
                identity=identity,
                on_step=on_step,
            )
        if parts.base.synthetic:
            invariances = _invariances(parts, backbone, learned, held_out)
            synthetic = _synthetic(parts, invariances, learned)
    trained = parts.trainer(
        backbone,
        learned,
        [*shown, *synthetic.sources],
        parts.objective,
        parts.training,
        checkpoint=checkpoint,
        resume=resume,
        identity=identity,
        on_step=on_step,
    )
    chosen = parts.detector(backbone, learned, choosing)
    settings = {
        "objective": parts.objective.to_dict(),
        "training": asdict(parts.training),
        "pace": trained.pace.to_dict(),
        "acceptance": parts.acceptance,
        **({"base": about_base} if about_base else {}),
        **({"synthetic_outliers": _about(synthetic, invariances)} if invariances else {}),
        **(note or {}),
        **chosen.note,
    }
    about = {
        "objective": parts.objective.called(bool(shown or synthetic.sources)),
        "train_seconds": round(trained.seconds + about_base.get("seconds", 0.0), 2),
        "train_images": trained.images + about_base.get("images", 0),
        **provenance(settings, data_sha256, trained.hardware),
    }
    boundary = Boundary(
        backbone,
        chosen.detector,
        parts.preprocessing,
        learned.class_names,
        acceptance=parts.acceptance,
        judging=parts.judging,
        about=about,
    )
    near = [*synthetic.sources, *_declared(seen_out, Kind.NOVELTY)]
    boundary.learn(learned, near=near, far=_declared(seen_out, Kind.ANOMALY))
    boundary.calibrate(
        held_out,
        held_groups,
        by=parts.by,
        confidence=parts.confidence,
        max_error=parts.max_error,
    )
    return Built(boundary, trained, chosen, invariances)


def train_base(
    backbone: Backbone,
    objective: Objective,
    training: Training,
    learned: Source,
    path: Path | None = None,
    *,
    resume: bool = True,
    identity: JsonMapping | None = None,
    on_step: OnStep | None = None,
) -> JsonObject:
    """Train a network on the known images alone, in place, or load it where it was kept.

    Args:
        backbone: with fresh weights.
        objective: what it is trained with.
        training: for how long.
        learned: in-distribution training images.
        path: where the trained network is kept, and beside it the state of one that is cut off.
        resume: whether to take what is kept.
        identity: what it must agree with, beside the settings.
        on_step: called after every step.

    Returns:
        What to note: settings, seconds, images, pace.
    """
    settings = {
        "training": asdict(training),
        "objective": objective.to_dict(),
        "identity": dict(identity or {}),
    }
    kept = _load(path, backbone, settings) if path and resume else None
    if kept is None:
        running = path.with_suffix(".running.safetensors") if path else None
        trained = train(
            backbone,
            learned,
            [],
            objective,
            training,
            checkpoint=running,
            resume=resume,
            identity=dict(identity or {}),
            on_step=(lambda step: on_step(replace(step, stage="base"))) if on_step else None,
        )
        kept = {
            **settings,
            "seconds": round(trained.seconds, 2),
            "images": trained.images,
            "pace": trained.pace.to_dict(),
        }
        if path and running and trained.is_main_process:
            _keep(path, backbone, kept)
            running.unlink(missing_ok=True)
    return {name: value for name, value in kept.items() if name != "identity"}


def _load(path: Path, backbone: Backbone, settings: JsonMapping) -> JsonObject | None:
    from safetensors import safe_open

    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        note: JsonObject = json.loads(file.metadata()["note"])
        if {name: note.get(name) for name in settings} != json.loads(json.dumps(settings)):
            return None  # of other settings
        names = list(file.keys())
        backbone.load_state_dict({name: file.get_tensor(name) for name in names})
    return note


def _keep(path: Path, backbone: Backbone, note: JsonMapping) -> None:
    from safetensors.torch import save

    tensors = {name: value.contiguous() for name, value in backbone.state_dict().items()}
    replace_file(path, save(tensors, {"note": json.dumps(note)}))


def _invariances(
    parts: Parts, backbone: Backbone, learned: Source, held_out: Source
) -> Invariances:
    """How the base takes changed copies: what it still accepts, by the nearest class centre."""
    plain = Boundary(
        deepcopy(backbone),
        NearestCentre("embedding" if "embedding" in backbone.heads else "features"),
        parts.preprocessing,
        learned.class_names,
        acceptance=parts.acceptance,
    )
    plain.learn(learned, domain=False).calibrate(held_out)

    def judge(images: Array) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        judgement = plain.judge(images)
        return judgement.decision == 0, judgement.nearest

    rng = np.random.default_rng([parts.training.seed, 6])
    return measure_invariances(learned, judge, rng)


def _synthetic(parts: Parts, invariances: Invariances, learned: Source) -> SyntheticOutliers:
    rng = np.random.default_rng([parts.training.seed, 5])
    count = parts.base.synthetic if parts.base else 0
    return synthetic_outliers(learned, invariances, count, rng)


def _about(synthetic: SyntheticOutliers, invariances: Invariances | None) -> JsonObject:
    measured = invariances.to_dict() if invariances else {}
    return {
        "images": synthetic.to_dict(),
        "remarks": list(synthetic.remarks),
        "invariances": measured,
    }


def _declared(seen_out: Sequence[OutSet | Source], kind: Kind) -> list[Source]:
    return [out.source for out in seen_out if isinstance(out, OutSet) and out.kind is kind]
