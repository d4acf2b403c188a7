"""One cell of a table: build a boundary, judge the split's test images, measure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from knowbound.backbones import Backbone
from knowbound.boundary import Boundary
from knowbound.building import Base, Built, Chosen, OnStep, Parts, Trainer, build
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import Source
from knowbound.data.split import Split
from knowbound.detectors.detector import Detector
from knowbound.evidence import Evidence
from knowbound.judging import judge_sets, seen_names
from knowbound.objectives.objective import Objective
from knowbound.result import Run
from knowbound.training import Trained, Training, train
from knowbound.values import JsonMapping


@dataclass(frozen=True, eq=False)
class Experiment:
    """One method on one split.  A variant is ``replace(...)`` of its sibling: ML is ODM with
    ``split.without_seen_out()``.

    Attributes:
        experiment: the table, such as ``table3`` or ``demo``.
        scale: the size of network and training, in a word.
        method: the name of the row.
        split: which images play which role.
        backbone: from the heads' sizes, as keyword arguments, to a network with fresh weights.
        backbone_name: of the network, as rows carry it.
        objective: what the network is trained with.
        detector: makes a fresh detector.
        training: for how long, and how.
        variant: what tells this row from others of its method.
        acceptance: share of new in-distribution images to accept, between 0 and 1.
        conventions: names of ``knowbound.metrics.CONVENTIONS``; each gives a row for each out set.
        note: anything else worth storing with the rows, as JSON values.
        trainer: what trains the backbone: ``training.train``, or another with its arguments.
        tune: if given, what makes the detector in place of ``detector``.
        base: if given, what is trained first, and the synthetic outliers that it tells how to make.
        networks: how many are trained, from the seed of ``training`` and the next ones, and judge
            together.
    """

    experiment: str
    scale: str
    method: str
    split: Split
    backbone: Callable[..., Backbone]
    backbone_name: str
    objective: Objective
    detector: Callable[[], Detector]
    training: Training
    variant: str = ""
    acceptance: float = 0.95
    conventions: tuple[str, ...] = ("exact", "seed")
    note: JsonMapping = field(default_factory=dict)
    trainer: Trainer = train
    tune: Callable[[Backbone, Split], Chosen] | None = None
    base: Base | None = None
    networks: int = 1


@dataclass(frozen=True, eq=False)
class Outcome:
    """A trained boundary and what it said of the split's test images."""

    boundary: Boundary
    trained: Trained
    run: Run
    evidence: Evidence
    tuning: Any = None
    """How the detector was chosen, where ``Experiment.tune`` chose it."""


def run(
    experiment: Experiment, *, checkpoint: Path | None = None, on_step: OnStep | None = None
) -> Outcome:
    """Train on ``split.train`` and ``split.seen_out``, calibrate on ``split.validation``, judge
    ``split.test`` and the unseen out-of-distribution sets.

    Args:
        experiment: what to run.
        checkpoint: where an interrupted training of this very experiment continues from.
        on_step: called after every step.

    Raises:
        UserError: the checkpoint is of another experiment, or of other images.
    """
    split = experiment.split
    sizes, hashes = _about_images(split)
    built = build(
        _parts(experiment),
        split.train,
        split.validation,
        split.seen_out,
        data_sha256=hashes,
        note={"sizes": sizes, **experiment.note},
        checkpoint=checkpoint,
        resume=checkpoint is not None,
        on_step=on_step,
    )
    described = describe_run(experiment, built)
    (evidence,) = judge_sets(
        [built.boundary],
        [described],
        split.test,
        split.unseen_out,
        seen=seen_names(split.seen_out, split.unseen_out),
        conventions=experiment.conventions,
    )
    return Outcome(built.boundary, built.trained, described, evidence, built.chosen.tuning)


def describe_run(experiment: Experiment, built: Built) -> Run:
    """What the rows of an experiment have in common.

    Args:
        experiment: that was run.
        built: what came of it.
    """
    split, about = experiment.split, dict(built.boundary.about)
    del about["objective"]
    return Run(
        experiment=experiment.experiment,
        scale=experiment.scale,
        method=experiment.method,
        variant=experiment.variant,
        backbone=experiment.backbone_name,
        in_dist=split.train.name,
        split=split.name,
        seed=experiment.training.seed,
        seen_out=tuple(out.name for out in split.seen_out),
        detector=type(built.boundary.detector).__name__,
        train_seconds=about.pop("train_seconds"),
        train_images=about.pop("train_images"),
        provenance=about,
    )


def _parts(experiment: Experiment) -> Parts:
    tune = experiment.tune
    channels, height, width = experiment.split.train.image_shape
    return Parts(
        backbone=experiment.backbone,
        backbone_name=experiment.backbone_name,
        objective=experiment.objective,
        detector=(
            partial(_tuned, tune, experiment.split)
            if tune
            else lambda *_: Chosen(experiment.detector())
        ),
        training=experiment.training,
        preprocessing=Preprocessing(height, width, channels),
        acceptance=experiment.acceptance,
        trainer=experiment.trainer,
        base=experiment.base,
        networks=experiment.networks,
    )


def _tuned(
    tune: Callable[[Backbone, Split], Chosen],
    split: Split,
    backbone: Backbone,
    learned: Source,
    choosing: Source | None,
) -> Chosen:
    del learned, choosing  # the split has its own
    return tune(backbone, split)


def _about_images(split: Split) -> tuple[dict[str, int], dict[str, str]]:
    """(number of images, hash of the images) of every set of a split, by its role."""
    sources = {
        "train": split.train,
        "validation": split.validation,
        "test": split.test,
        **{f"seen {out.name}": out.source for out in split.seen_out},
        **{out.name: out.source for out in split.unseen_out},
    }
    sizes = {name: len(source) for name, source in sources.items()}
    return sizes, {name: source.sha256() for name, source in sources.items()}
