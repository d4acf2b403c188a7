"""From a folder of labelled images to a boundary, in one call: what a practitioner uses."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import nn

from knowbound.boundary.boundary import Boundary, least_to_calibrate
from knowbound.boundary.together import make_detector
from knowbound.data.pictures.folder import (
    FolderRead,
    Problem,
    measure_folder,
    read_folder,
    same_bytes,
)
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import Source
from knowbound.errors import UserError
from knowbound.experiment import provenance
from knowbound.files import check_writable
from knowbound.objectives import (
    ConfidenceLoss,
    Contrastive,
    CrossEntropy,
    EnergyMargin,
    Objective,
    OutlierExposure,
)
from knowbound.objectives.batches import BalancedBatches
from knowbound.training.loop import Progress, Trained, train
from knowbound.training.settings import Training

ObjectiveName = Literal["odm", "ml", "ce", "confidence", "oe"]
BackboneName = Literal["auto", "lenet", "wrn-16-2", "wrn-28-10"]
CHECKPOINT = "checkpoint.safetensors"
MARGIN = 10.0
"""Of Table 1."""
LEARN_FROM_OUTLIERS = ("odm", "confidence", "oe")
LOGIT_OBJECTIVES = ("ce", "confidence", "oe")
"""Those whose embeddings are the logits of the classes."""
WIDE_BATCHES = BalancedBatches(images=96, outs=32)
"""For networks whose step is dear."""
WIDE_SAME_SHARE = 0.25
"""What same-class pairs weigh in their loss: of all pairs of many classes hardly any are of the
same class.  The trials are in
docs/traffic_signs.md."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything decided before the training starts, so that it can be shown and checked."""

    known: FolderRead
    outliers: tuple[FolderRead, ...]
    preprocessing: Preprocessing
    backbone: Callable[[int], nn.Module]
    backbone_name: str
    objective: Objective
    objective_name: ObjectiveName
    detector: str
    """A name of ``DETECTORS``."""
    training: Training
    acceptance: float
    held_out: float
    chosen: tuple[str, ...]
    """What was chosen for the user, a sentence each."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every file that could not be used, or was used with a remark."""
        return self.known.problems + tuple(
            problem for read in self.outliers for problem in read.problems
        )


@dataclass(frozen=True, eq=False)
class Fitted:
    """A calibrated boundary, the training behind it, and the images it was held against."""

    boundary: Boundary
    trained: Trained
    train: Source
    held_out: Source


def fit(
    known: str | Path,
    outliers: Sequence[str | Path] = (),
    *,
    objective: ObjectiveName | Objective | None = None,
    on_step: Callable[[Progress], None] | None = None,
    **settings: Any,
) -> Boundary:
    """A calibrated boundary for a folder of labelled images (``known/class/...``) and folders of
    images of none of its classes.

    objective: ``odm`` (the default with outliers), ``ml`` (the default without), ``ce``
    (cross-entropy), with outliers also ``confidence`` (the confidence loss) and ``oe`` (outlier
    exposure), or an objective of your own; settings: those of ``plan_fit``.  Raises UserError for
    folders that cannot be used.
    """
    return carry_out(
        plan_fit(known, outliers, objective=objective, **settings), on_step=on_step
    ).boundary


def plan_fit(
    known: str | Path,
    outliers: Sequence[str | Path] = (),
    *,
    objective: ObjectiveName | Objective | None = None,
    detector: str | None = None,
    backbone: BackboneName = "auto",
    size: int | None = None,
    channels: int | None = None,
    dim: int | None = None,
    margin: float = MARGIN,
    steps: int | None = None,
    learning_rate: float | None = None,
    acceptance: float = 0.95,
    held_out: float | None = None,
    precision: Literal["auto", "float32", "bf16"] = "auto",
    compile: bool | None = None,
    seed: int = 0,
    memory_limit: int = 2 * 1024**3,
    progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """Read the folders and decide on everything that was not given.

    detector: a name of ``knowbound.detectors.DETECTORS`` (default nearest_centre, under ce
    max_softmax); size: side in pixels of the square images the network takes (default 28 for LeNet,
    32 for WRN); channels: 1 or 3 (default: grey if no picture has colour); dim: length of the
    embedding; margin: of the contrastive loss; acceptance: share of in-distribution images the
    threshold accepts; held_out: share of the images kept from training to set it; precision,
    compile: as in ``Training``; memory_limit: bytes of decoded images over which they are streamed;
    progress: called with (files done, files). Raises UserError, with one clear sentence, for
    anything that cannot be used.
    """
    outliers = [outliers] if isinstance(outliers, str | Path) else outliers
    known, folders = Path(known), [Path(folder) for folder in outliers]
    _check_numbers(steps, learning_rate, margin, dim, held_out, seed)
    name, chosen_objective = _choose_objective(objective, margin, dim, bool(folders))
    logits = name in LOGIT_OBJECTIVES
    detector = detector or ("max_softmax" if logits else "nearest_centre")
    make_detector(detector, logits=logits)  # a name that cannot be is told now
    if not 0 < acceptance < 1:
        raise UserError(
            f"an acceptance of {acceptance} was asked for; expected a share between 0 and 1, such "
            "as 0.95"
        )
    _, colour = measure_folder(known, classes=True)
    channels = channels or (3 if colour else 1)
    backbone = ("lenet" if channels == 1 else "wrn-16-2") if backbone == "auto" else backbone
    side = size or (28 if backbone == "lenet" else 32)
    preprocessing = Preprocessing(side, side, channels)
    read = partial(
        read_folder, preprocessing=preprocessing, memory_limit=memory_limit, progress=progress
    )
    inside = read(known, classes=True)
    outs = tuple(read(folder, classes=False) for folder in folders)
    refuse_two_classes(inside)
    refuse_overlap(inside, known, outs, folders)
    usual = usual_training(backbone, side)
    training = replace(
        usual,
        steps=steps or usual.steps,
        learning_rate=learning_rate or usual.learning_rate,
        precision=precision,
        compile=compile,
        seed=seed,
        checkpoint_every=100,
    )
    if (
        backbone != "lenet"
        and isinstance(chosen_objective, Contrastive)
        and isinstance(objective, str | None)
    ):
        chosen_objective = replace(chosen_objective, rule=WIDE_BATCHES, same_share=WIDE_SAME_SHARE)
    share = (
        held_out
        if held_out is not None
        else min(0.5, max(0.1, least_to_calibrate(acceptance) / len(inside.source)))
    )
    chosen = (
        f"{'colour' if channels == 3 else 'grey'} images of {side} x {side} pixels",
        f"the network {backbone}",
        f"the objective {name.upper()}"
        + ("" if folders or name == "ce" else ": no folder of outliers was given"),
        f"the detector {detector}",
        f"{share:.0%} of the images held out to set the threshold",
    )
    gain = chosen_objective.margin if isinstance(chosen_objective, Contrastive) else 1.0
    return Plan(
        inside,
        outs,
        preprocessing,
        backbone_maker(backbone, preprocessing, gain),
        backbone,
        chosen_objective,
        name,
        detector,
        training,
        acceptance,
        share,
        chosen,
    )


def carry_out(
    plan: Plan,
    *,
    output: Path | None = None,
    resume: bool = False,
    on_step: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Train, fit the detector and calibrate; with ``output`` keep a checkpoint there and save the
    boundary at the end.

    resume: continue from the checkpoint in ``output``, bit for bit on a CPU.  Raises UserError as
    ``train`` does, and before anything else where ``output`` cannot be written.
    """
    if output:
        check_writable(output)
    rng = np.random.default_rng(plan.training.seed)
    learned, held = hold_out(
        plan.known.source, plan.held_out, rng, least_to_calibrate(plan.acceptance)
    )
    torch.manual_seed(plan.training.seed)
    classes = plan.known.source.class_names
    backbone = plan.backbone(plan.objective.embedding_dim(len(classes)))
    outs = [read.source for read in plan.outliers]
    hashes = {
        "known": plan.known.sha256,
        **{f"outliers {i + 1}": r.sha256 for i, r in enumerate(plan.outliers)},
    }
    identity = {
        "images": hashes,
        "network": plan.backbone_name,
        "preprocessing": plan.preprocessing.to_dict(),
        "held_out": plan.held_out,
    }
    checkpoint = output / CHECKPOINT if output else None
    trained = train(
        backbone,
        learned,
        outs,
        plan.objective,
        plan.training,
        checkpoint=checkpoint,
        resume=resume,
        identity=identity,
        on_step=on_step,
    )
    detector = make_detector(plan.detector, logits=plan.objective_name in LOGIT_OBJECTIVES)
    settings = {
        "objective": plan.objective.to_dict(),
        "training": asdict(plan.training),
        "pace": trained.pace.to_dict(),
        "held_out": plan.held_out,
        "images": len(learned),
        "outliers": [len(out) for out in outs],
    }
    about = {
        "objective": plan.objective_name,
        "train_seconds": round(trained.seconds, 2),
        "train_images": trained.images,
        **provenance(settings, hashes, trained.hardware),
    }
    boundary = Boundary(
        backbone, detector, plan.preprocessing, classes, acceptance=plan.acceptance, about=about
    )
    boundary.learn(learned).calibrate(held)
    if output and trained.is_main_process:
        boundary.save(output)
        (output / CHECKPOINT).unlink(missing_ok=True)
    return Fitted(boundary, trained, learned, held)


def _check_numbers(
    steps: int | None,
    learning_rate: float | None,
    margin: float,
    dim: int | None,
    held_out: float | None,
    seed: int,
) -> None:
    """Raises UserError naming the first number that cannot be."""
    checks = (
        ("steps", steps, steps is None or steps >= 1, "1 or more"),
        (
            "a learning rate",
            learning_rate,
            learning_rate is None or 0 < learning_rate < math.inf,
            "a number above 0",
        ),
        ("a margin", margin, 0 < margin < math.inf, "a distance above 0"),
        ("a length of the embedding", dim, dim is None or dim >= 1, "1 or more"),
        (
            "a held-out share",
            held_out,
            held_out is None or 0 < held_out < 1,
            "one between 0 and 1, such as 0.1",
        ),
        ("a seed", seed, 0 <= seed < 2**63, "a whole number of 0 or more, below 2^63"),
    )
    for what, value, good, expected in checks:
        if not good:
            raise UserError(f"{what} of {value} was asked for; expected {expected}")


def _choose_objective(
    objective: ObjectiveName | Objective | None, margin: float, dim: int | None, outliers: bool
) -> tuple[ObjectiveName, Objective]:
    if objective is None:
        objective = "odm" if outliers else "ml"
    if not isinstance(objective, str):
        return _name_of(objective, outliers), objective
    if objective in LEARN_FROM_OUTLIERS and not outliers:
        raise UserError(
            f"the objective {objective} was asked for without outliers; give a folder of images "
            "of none of the classes with --outliers, or take --objective ml, which needs none"
        )
    if objective in ("ml", "ce") and outliers:
        raise UserError(
            f"outliers were given, but the objective {objective} learns from none; leave them "
            "out, or take --objective odm"
        )
    if objective in LOGIT_OBJECTIVES and (dim is not None or margin != MARGIN):
        raise UserError(
            f"the length of the embedding or a margin was given, but the objective {objective} "
            "has neither; leave them out, or take odm or ml"
        )
    plain: dict[str, Objective] = {
        "ce": CrossEntropy(),
        "confidence": ConfidenceLoss(),
        "oe": OutlierExposure(),
    }
    if objective in plain:
        return objective, plain[objective]
    if objective in ("odm", "ml"):
        contrastive = Contrastive(margin=margin)
        return objective, replace(contrastive, dim=dim) if dim else contrastive
    raise UserError(
        f"the objective {objective!r} is unknown; expected one of "
        f"{', '.join(get_args(ObjectiveName))}"
    )


def _name_of(objective: Objective, outliers: bool) -> ObjectiveName:
    if isinstance(objective, ConfidenceLoss):
        return "confidence"
    if isinstance(objective, OutlierExposure):
        return "oe"
    if isinstance(objective, CrossEntropy | EnergyMargin):
        return "ce"
    return "odm" if outliers else "ml"


def refuse_two_classes(read: FolderRead) -> None:
    """Raises UserError where the same bytes are in two classes: no network can tell them apart."""
    first: dict[str, int] = {}
    for index, (digest, label) in enumerate(zip(read.file_sha256, read.source.labels, strict=True)):
        earlier = first.setdefault(digest, index)
        if read.source.labels[earlier] != label:
            raise UserError(
                f"{read.paths[index]} and {read.paths[earlier]} hold the same picture in two "
                "classes; remove the wrong one"
            )


def refuse_overlap(
    inside: FolderRead, known: Path, outs: Sequence[FolderRead], folders: Sequence[Path]
) -> None:
    """Raises UserError where the same bytes are both a known class and an outlier: the network
    would be told both."""
    for read, folder in zip(outs, folders, strict=True):
        pairs = same_bytes(inside, read)
        if pairs:
            raise UserError(
                f"{len(pairs)} images of {folder} are also in {known}, byte for byte (the first: "
                f"{pairs[0][1]} is {pairs[0][0]}); an outlier must be of none of the classes: "
                "remove them from one side"
            )
