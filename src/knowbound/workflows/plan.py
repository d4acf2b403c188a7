"""Everything that ``fit`` decides before the training starts, so that it can be shown and checked."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from knowbound.boundary.threshold import check_error, least_groups
from knowbound.building import Base, Chosen, Parts
from knowbound.data.groups import Groups, group_images
from knowbound.data.pictures.copies import refuse_overlap, refuse_two_classes
from knowbound.data.pictures.folder import (
    FolderRead,
    Problem,
    measure_folder,
    read_folder,
)
from knowbound.data.pictures.picture_files import MAX_PIXELS
from knowbound.data.pictures.picture_lists import describe_classes, list_pictures
from knowbound.data.pictures.reading_estimate import estimate_reading
from knowbound.data.pictures.split_folders import refuse_split_folders
from knowbound.data.pictures.value_range import settle
from knowbound.data.preprocessing import Background, Fit, Preprocessing, Range
from knowbound.detectors.choice import make_detector
from knowbound.errors import UserError
from knowbound.objectives import Objective
from knowbound.objectives.choice import make_objective, with_batches
from knowbound.outputs import Field
from knowbound.training import Training
from knowbound.training.pace import Precision
from knowbound.workflows.recipes import recipe_for

CHECKPOINT_EVERY = 100
GB = 10**9
LARGE = GB // 10
"""Bytes of weights from which the network's size is told."""
COPIES = 4
"""Of the weights in training: themselves, their gradients, and Adam's two averages."""
MEMORY_SHARE = 0.8
BASE_SHARE = 0.5
"""Steps of the base over those of the main training."""
SYNTHETIC_IMAGES = 6000
"""Of each kind."""
Folders = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Settings:
    """What can be asked of ``fit``; None and ``auto`` are decided by the images.

    Attributes:
        objective: a name of ``knowbound.names.OBJECTIVES``, or an objective of your own.
        synthetic: whether to show outliers made from the known images themselves, where the
            objective can use them.
        detector: a name of ``knowbound.names.DETECTORS``.
        backbone: a name of ``RECIPES``, or ``auto``.
        size: side in pixels of the square images the network takes.
        channels: 1 or 3.
        dim: length of the embedding.
        margin: of a metric loss, in its own unit.
        steps: of the training.
        learning_rate: the largest.
        acceptance: share of new in-distribution images to accept, between 0 and 1.
        per_class: whether to set a threshold for each class with enough images.
        confidence: of the promise, as in ``Boundary.calibrate``.
        max_error: share of accepted images with the wrong class, as in ``Boundary.calibrate``.
        group_by: which images belong together beside copies, as in ``group_images``.
        held_out: share of the images kept from training to set the threshold.
        precision: as in ``Training``.
        compile: as in ``Training``.
        seed: of everything random.
        range: as in ``Preprocessing``.
        background: as in ``Preprocessing``.
        fit: as in ``Preprocessing``.
        max_pixels: the most a picture's header may announce.
        memory: bytes that reading and training may take, None for four fifths of the machine's.
        memory_limit: bytes of decoded images over which they are streamed.
    """

    objective: str | Objective | None = None
    synthetic: bool = True
    detector: str | None = None
    backbone: str = "auto"
    size: int | None = None
    channels: int | None = None
    dim: int | None = None
    margin: float | None = None
    steps: int | None = None
    learning_rate: float | None = None
    acceptance: float = 0.95
    per_class: bool = False
    confidence: float | None = None
    max_error: float | None = None
    group_by: str = "auto"
    held_out: float | None = None
    precision: Precision = "auto"
    compile: bool | None = None
    seed: int = 0
    range: Range = "full"
    background: Background = "white"
    fit: Fit = "stretch"
    max_pixels: int = MAX_PIXELS
    memory: int | None = None
    memory_limit: int = 2 * 1024**3


@dataclass(frozen=True, eq=False)
class Plan:
    """The images, and what is built from them."""

    known: FolderRead
    outliers: tuple[FolderRead, ...]
    """Of unknown kind: pushed away."""
    novelties: tuple[FolderRead, ...]
    """Declared: pushed away, and in-domain."""
    anomalies: tuple[FolderRead, ...]
    """Declared: pushed away, and out of the domain."""
    parts: Parts
    group_by: str
    groups: Groups
    """The known images that belong together: copies, near copies, tracks."""
    held_out: float
    """Share of the images held out to set the threshold."""
    chosen: tuple[str, ...]
    """What was chosen for the user, a sentence each."""

    @property
    def summary(self) -> tuple[str, ...]:
        """What was read and chosen, a sentence each."""
        source = self.known.source
        counts = np.bincount(source.labels, minlength=len(source.class_names))
        known = dict(zip(source.class_names, counts.tolist(), strict=True))
        outside = {
            "outliers": self.outliers,
            "novelties": self.novelties,
            "anomalies": self.anomalies,
        }
        shown = (
            f"{sum(len(read.source) for read in reads):,} {name}"
            for name, reads in outside.items()
            if reads
        )
        return (
            "; ".join([describe_classes(known), *shown]) + ".",
            f"Belonging together: {self.groups.rule}.",
            f"Chosen: {'; '.join(self.chosen)}.",
        )

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every file that could not be used, or was used with a remark."""
        outside = (problem for read in self.shown for problem in read.problems)
        return self.known.problems + tuple(outside)

    @property
    def shown(self) -> tuple[FolderRead, ...]:
        """Every folder of seen-out images."""
        return (*self.outliers, *self.novelties, *self.anomalies)


def plan_fit(
    known: str | Path,
    outliers: Folders = (),
    settings: Settings = Settings(),
    *,
    novelties: Folders = (),
    anomalies: Folders = (),
    progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """Read the folders and decide on everything that was not asked for.

    Args:
        known: labelled images, ``known/class/...``, or a list of them.
        outliers: folders of images of none of the classes.
        settings: what was asked for.
        novelties: folders of images of other classes of the same kind of picture.
        anomalies: folders of images of nothing like the classes.
        progress: called with (files done, files).

    Raises:
        UserError: anything that cannot be used, in one clear sentence.
    """
    known = Path(known)
    given = [_listed(folders) for folders in (outliers, novelties, anomalies)]
    check_numbers(settings)
    objective = choose_objective(settings, any(given))
    outputs: tuple[Field, ...] = ("stages", "features", *objective.heads)
    detector = settings.detector or usual_detector(objective)
    make_detector(detector, outputs)  # a name that cannot be is told now
    refuse_split_folders(known)
    listing = list_pictures(known, classes=True)
    _, colour = measure_folder(known, classes=True, listing=listing)
    channels = settings.channels or (3 if colour else 1)
    named = settings.backbone
    backbone = ("lenet" if channels == 1 else "wrn-16-2") if named == "auto" else named
    recipe = recipe_for(backbone)
    side = settings.size or recipe.side
    unsettled = Preprocessing(
        side, side, channels, settings.range, settings.background, settings.fit
    )
    preprocessing = settle(unsettled, listing, settings.max_pixels)
    estimate = estimate_reading(listing, preprocessing, memory_limit=settings.memory_limit)
    memory = settings.memory or usual_memory()
    estimate.refuse_beyond(memory)
    read = partial(
        read_folder,
        preprocessing=preprocessing,
        memory_limit=settings.memory_limit,
        workers=estimate.threads,
        max_pixels=settings.max_pixels,
        progress=progress,
    )
    inside = read(known, classes=True, listing=listing)
    outs = [tuple(read(folder, classes=False) for folder in folders) for folders in given]
    refuse_two_classes(inside)
    for reads, folders in zip(outs, given, strict=True):
        refuse_overlap(inside, known, reads, folders)
    usual = recipe.training(side)
    if not isinstance(settings.objective, Objective):
        objective = with_batches(objective, recipe.batches, recipe.same_share)
    groups = group_images(inside.source, [str(path) for path in inside.paths], settings.group_by)
    refuse_unprovable_error(settings, groups.count)
    share = settings.held_out or _share(settings, groups.count)
    made = settings.synthetic and settings.objective != "ml" and objective.uses_outs
    name = objective.called(made or any(given))
    training = replace(
        usual,
        steps=settings.steps or usual.steps,
        learning_rate=settings.learning_rate or usual.learning_rate,
        precision=settings.precision,
        compile=settings.compile,
        seed=settings.seed,
        checkpoint_every=CHECKPOINT_EVERY,
    )
    parts = Parts(
        backbone=recipe.make(preprocessing, objective.scale),
        backbone_name=backbone,
        objective=objective,
        detector=lambda _: Chosen(make_detector(detector, outputs)),
        training=training,
        preprocessing=preprocessing,
        acceptance=settings.acceptance,
        by="class" if settings.per_class else "all",
        confidence=settings.confidence,
        max_error=settings.max_error,
        base=_base(objective, training) if made else None,
    )
    weights = refuse_large_network(parts, len(inside.source.class_names), memory)
    chosen = (
        f"{'colour' if channels == 3 else 'grey'} images of {side} x {side} pixels",
        f"the network {backbone}" + (f" of {weights / GB:.2g} GB" if weights > LARGE else ""),
        f"the objective {name.upper()}"
        + (" with outliers made from the known images" if made else ""),
        f"the detector {detector}",
        f"{share:.0%} of the {'groups' if groups.count < len(inside.source) else 'images'} held "
        "out to set the threshold",
    )
    return Plan(
        known=inside,
        outliers=outs[0],
        novelties=outs[1],
        anomalies=outs[2],
        parts=parts,
        group_by=settings.group_by,
        groups=groups,
        held_out=share,
        chosen=chosen,
    )


def usual_memory() -> int:
    """Four fifths of the machine's memory, in bytes."""
    return int(MEMORY_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def refuse_large_network(parts: Parts, classes: int, memory: int) -> int:
    """Bytes of the network's weights; nothing is allocated.

    Raises:
        UserError: weights, gradients and the optimizer's two averages take more than ``memory``.
    """
    with torch.device("meta"):
        network = parts.backbone(**parts.objective.head_sizes(classes))
    weights = sum(4 * parameter.numel() for parameter in network.parameters())
    if COPIES * weights > memory:
        raise UserError(
            f"training {parts.backbone_name} at this size takes about {COPIES * weights / GB:.2g} "
            f"GB for its weights alone, more than the {memory / GB:.2g} GB allowed; ask for smaller "
            "images with --size, take --backbone wrn-16-2, or allow more with --memory"
        )
    return weights


def _listed(folders: Folders) -> list[Path]:
    return [Path(f) for f in ([folders] if isinstance(folders, str | Path) else folders)]


def _base(objective: Objective, training: Training) -> Base:
    """What is trained first, on the known images alone: a share of the steps."""
    alone = objective.without_outs()
    steps = max(1, round(BASE_SHARE * training.steps))
    return Base(alone, replace(training, steps=steps), SYNTHETIC_IMAGES)


def usual_detector(objective: Objective) -> str:
    """The detector of a network where none is named: by the head its objective reads first.

    Args:
        objective: that it is trained with.
    """
    return "max_softmax" if objective.heads[0] == "logits" else "nearest_centre"


def _share(settings: Settings, groups: int) -> float:
    """The share of the groups to hold out: a tenth, more where they are few."""
    least = least_groups(settings.acceptance, settings.confidence, settings.max_error)
    return min(0.5, max(0.1, (least + 1) / groups))


def refuse_unprovable_error(settings: Settings, groups: int) -> None:
    """Check that there are enough images to show the largest error that was asked for.

    Args:
        settings: of ``fit``.
        groups: of images that belong together, or images where there are no groups.

    Raises:
        UserError: it takes more than half of them.
    """
    if settings.max_error is None:
        return
    check_error(settings.max_error, "class" if settings.per_class else "all")
    least = least_groups(settings.acceptance, settings.confidence, settings.max_error)
    if 2 * least > groups:
        raise UserError(
            f"a largest error of {settings.max_error:g} takes at least {least:,} held-out images "
            f"to be shown, and there are {groups:,} in all (groups of copies and tracks count as "
            "one); expected twice as many, to learn from the others: add images, or allow a larger "
            "error"
        )


def check_numbers(settings: Settings) -> None:
    """Check the numbers that were asked for.

    Args:
        settings: of ``fit``.

    Raises:
        UserError: it names the first number that cannot be.
    """
    rate, share, margin = settings.learning_rate, settings.held_out, settings.margin
    checks = (
        ("steps", settings.steps, settings.steps is None or settings.steps >= 1, "1 or more"),
        ("a learning rate", rate, rate is None or 0 < rate < math.inf, "a number above 0"),
        ("a margin", margin, margin is None or 0 < margin < math.inf, "a distance above 0"),
        (
            "a length of the embedding",
            settings.dim,
            settings.dim is None or settings.dim >= 1,
            "1 or more",
        ),
        (
            "a held-out share",
            share,
            share is None or 0 < share < 1,
            "one between 0 and 1, such as 0.1",
        ),
        (
            "a seed",
            settings.seed,
            0 <= settings.seed < 2**63,
            "a whole number of 0 or more, below 2^63",
        ),
        (
            "a confidence",
            settings.confidence,
            settings.confidence is None or 0 < settings.confidence < 1,
            "a share between 0 and 1, such as 0.95",
        ),
        (
            "an acceptance",
            settings.acceptance,
            0 < settings.acceptance < 1,
            "a share between 0 and 1, such as 0.95",
        ),
    )
    for what, value, good, expected in checks:
        if not good:
            raise UserError(f"{what} of {value} was asked for; expected {expected}")


def choose_objective(settings: Settings, outliers: bool) -> Objective:
    """The objective that was asked for; else ODM with outliers, ML without.

    Raises:
        UserError: an unknown name, or one that does not go with what else was given.
    """
    wanted = settings.objective
    if isinstance(wanted, Objective):
        return wanted
    name = wanted or ("odm" if outliers else "ml")
    return make_objective(name, margin=settings.margin, dim=settings.dim, outs=outliers)
