"""Train, learn, calibrate: once, for ``fit`` and for every row of every table."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knowbound.boundary import Boundary
from knowbound.building.networks import train_networks
from knowbound.building.parts import Base, Chosen, OnStep, Parts
from knowbound.data.outs.changed_copies import Invariances
from knowbound.data.outs.synthetic import SyntheticOutliers
from knowbound.data.source import Source
from knowbound.data.split import OutSet
from knowbound.labels import Kind
from knowbound.provenance import commit, provenance
from knowbound.training import Trained
from knowbound.values import JsonMapping, JsonObject


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
        "base": _about_base(parts.base),
        **(identity or {}),
    }
    shown = [out.source if isinstance(out, OutSet) else out for out in seen_out]
    made = train_networks(
        parts,
        learned,
        held_out,
        shown,
        identity=identity,
        checkpoint=checkpoint,
        resume=resume,
        on_step=on_step,
    )
    backbone, trained = made.backbone, made.trained
    synthetic, invariances, about_base = made.synthetic, made.invariances, made.about_base
    chosen = parts.detector(backbone, learned, choosing)
    settings = {
        "objective": parts.objective.to_dict(),
        "training": asdict(parts.training),
        "pace": trained.pace.to_dict(),
        "acceptance": parts.acceptance,
        **({"networks": parts.networks} if parts.networks > 1 else {}),
        **({"trained_by_commits": list(made.commits)} if len(made.commits) > 1 else {}),
        **({"base": about_base} if about_base else {}),
        **({"synthetic_outliers": _about(synthetic, invariances)} if invariances else {}),
        **(note or {}),
        **chosen.note,
    }
    about = {
        "objective": parts.objective.called(bool(shown or synthetic.sources)),
        "train_seconds": round(made.seconds, 2),
        "train_images": made.images,
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


def _about_base(base: Base | None) -> JsonObject | None:
    if base is None:
        return None
    return {
        "objective": base.objective.to_dict(),
        "training": asdict(base.training) if base.training else None,
        "synthetic": base.synthetic,
    }


def _about(synthetic: SyntheticOutliers, invariances: Invariances | None) -> JsonObject:
    measured = invariances.to_dict() if invariances else {}
    return {
        "images": synthetic.to_dict(),
        "remarks": list(synthetic.remarks),
        "invariances": measured,
    }


def _declared(seen_out: Sequence[OutSet | Source], kind: Kind) -> list[Source]:
    return [out.source for out in seen_out if isinstance(out, OutSet) and out.kind is kind]
