"""The networks of a boundary, trained: one, or several that judge together."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from knowbound.backbones import Backbone, Ensemble
from knowbound.boundary import Boundary
from knowbound.building.base import train_base
from knowbound.building.kept_network import keep_network, load_network
from knowbound.building.parts import OnStep, Parts
from knowbound.data.outs.changed_copies import Invariances, measure_invariances
from knowbound.data.outs.synthetic import SyntheticOutliers, synthetic_outliers
from knowbound.data.source import Source
from knowbound.detectors.nearest_centre import NearestCentre
from knowbound.training import Trained
from knowbound.training.pace import Pace
from knowbound.values import Array, JsonMapping, JsonObject

NO_OUTLIERS = SyntheticOutliers((), ())


@dataclass(frozen=True, eq=False)
class Networks:
    """What was trained.

    backbone: the network, or the ensemble of all; trained: the training of the last one; seconds,
    images: of all trainings, their bases included; about_base: what to note of the first one's
    base; commits: whose code trained them, in order; invariances: how each class takes being
    mirrored, flipped and turned, where it was measured; synthetic: the outliers that were made from
    the known images.
    """

    backbone: Backbone
    trained: Trained
    seconds: float
    images: int
    about_base: JsonObject
    commits: tuple[str, ...]
    invariances: Invariances | None
    synthetic: SyntheticOutliers


def train_networks(
    parts: Parts,
    learned: Source,
    held_out: Source,
    shown: Sequence[Source],
    *,
    identity: JsonMapping,
    checkpoint: Path | None = None,
    resume: bool = False,
    on_step: OnStep | None = None,
) -> Networks:
    """Train as many networks as the parts ask for, each from a seed of its own.

    All see the same images.  The synthetic outliers come from what the first one's base says.  One
    that is finished is kept beside the checkpoint until all are.

    Args:
        parts: what is trained, and how.
        learned: in-distribution training images, labels 0..C-1.
        held_out: others, of the same classes.
        shown: sets of out-of-distribution images.
        identity: what a checkpoint must agree with, beside the settings.
        checkpoint: where the state of the training is kept.
        resume: whether to continue from it.
        on_step: called after every step.

    Raises:
        ValueError: no network.
        UserError: images that cannot be trained on, or a checkpoint of another training.
        TrainingStoppedError: the training cannot continue.
    """
    if parts.networks < 1:
        raise ValueError(f"{parts.networks} networks were asked for; expected 1 or more")
    networks: list[Backbone] = []
    seconds, images, commits = 0.0, 0, dict[str, None]()
    about_first: JsonObject = {}
    invariances, synthetic = None, NO_OUTLIERS
    for number in range(parts.networks):
        own = parts.of_network(number)
        told = _staged(on_step, number, parts.networks)
        path = _numbered(checkpoint, number)
        torch.manual_seed(own.seed)
        backbone = own.backbone(**own.objective.head_sizes(len(learned.class_names)))
        about_base: JsonObject = {}
        if own.base and own.base.training:
            about_base = train_base(
                backbone,
                own.base.objective,
                own.base.training,
                learned,
                path.with_suffix(".base.safetensors") if path else None,
                resume=resume,
                identity=dict(identity),
                on_step=told,
            )
        if number == 0:
            about_first = about_base
            if own.base and own.base.synthetic:
                invariances = _invariances(own, backbone, learned, held_out)
                synthetic = _synthetic(own, invariances, learned)
        trained = _trained(
            own,
            backbone,
            learned,
            [*shown, *synthetic.sources],
            identity={**identity, "settings": backbone.settings},
            checkpoint=path,
            last=number == parts.networks - 1,
            resume=resume,
            on_step=told,
        )
        networks.append(backbone)
        seconds += trained.seconds + about_base.get("seconds", 0.0)
        images += trained.images + about_base.get("images", 0)
        commits |= dict.fromkeys([*about_base.get("commits", ()), *trained.commits])
    whole = networks[0] if len(networks) == 1 else Ensemble.of(networks)
    return Networks(
        whole, trained, seconds, images, about_first, tuple(commits), invariances, synthetic
    )


def _trained(
    own: Parts,
    backbone: Backbone,
    learned: Source,
    outs: Sequence[Source],
    *,
    identity: JsonMapping,
    checkpoint: Path | None,
    last: bool,
    resume: bool,
    on_step: OnStep | None,
) -> Trained:
    """Train one of the networks in place, or load it where it was kept as finished.

    The last one is never kept so: the model is written next.
    """
    done = checkpoint.with_suffix(".done.safetensors") if checkpoint and not last else None
    settings = {
        "training": asdict(own.training),
        "objective": own.objective.to_dict(),
        "identity": dict(identity),
    }
    note = load_network(done, backbone, settings) if done and resume else None
    if note:
        backbone.eval()
        told = note["trained"]
        commits = tuple(told.get("commits", ()))
        return Trained(**{**told, "pace": Pace(**told["pace"]), "commits": commits})
    trained = own.trainer(
        backbone,
        learned,
        outs,
        own.objective,
        own.training,
        checkpoint=checkpoint,
        resume=resume,
        identity=dict(identity),
        on_step=on_step,
    )
    if done and checkpoint and trained.is_main_process:
        keep_network(done, backbone, {**settings, "trained": asdict(trained)})
        checkpoint.unlink(missing_ok=True)
    return trained


def _numbered(checkpoint: Path | None, number: int) -> Path | None:
    """The checkpoint of one of the networks; the first has the plain name."""
    if checkpoint is None or number == 0:
        return checkpoint
    return checkpoint.with_name(f"{checkpoint.stem}.{number + 1}{checkpoint.suffix}")


def _staged(on_step: OnStep | None, number: int, networks: int) -> OnStep | None:
    """The same, told which of the networks is trained where there are several."""
    if on_step is None or networks == 1:
        return on_step
    of_all = f"network {number + 1} of {networks}"
    return lambda step: on_step(
        replace(step, stage=of_all if step.stage == "training" else f"{step.stage}, {of_all}")
    )


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
