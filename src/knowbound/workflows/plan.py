"""Everything that ``fit`` decides before the training starts, so that it can be shown and checked."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from knowbound.backbones.backbone import Depth
from knowbound.boundary.conformal import check_error, least_groups
from knowbound.building import Base, Parts
from knowbound.building.frozen import FrozenParts
from knowbound.data.groups import Groups, group_images
from knowbound.data.outs.synthetic import USUAL_IMAGES
from knowbound.data.pictures.folder import FolderRead, Problem, measure_folder
from knowbound.data.pictures.picture_lists import describe_classes, list_pictures
from knowbound.data.pictures.split_folders import refuse_split_folders
from knowbound.data.preprocessing import Preprocessing
from knowbound.detectors.choice import make_detector
from knowbound.errors import UserError
from knowbound.objectives import Objective
from knowbound.objectives.choice import with_batches
from knowbound.outputs import Field
from knowbound.training import Training
from knowbound.training.loop import Progress
from knowbound.workflows.audition.audition import Audition
from knowbound.workflows.audition.trial import Head
from knowbound.workflows.detector_choice import choose_detector
from knowbound.workflows.network_choice import BASE_SHARE, choose_network, frozen_network
from knowbound.workflows.reading import Reader, Reads
from knowbound.workflows.recipes import FrozenRecipe, Recipe, recipe_for
from knowbound.workflows.settings import (
    Settings,
    check_numbers,
    choose_objective,
    refuse_fine_tuning,
    refuse_training,
    training_of,
    tuning_of,
    unsettled,
    usual_detectors,
)

NOTHING_ASKED = Settings()
GB = 10**9
LARGE = GB // 10
"""Bytes of weights from which the network's size is told."""
SPARED = 0.3
"""The share of the images or groups up to which more are held out than it takes."""
COPIES = 4
"""Of the weights in training: themselves, their gradients, and Adam's two averages."""
STATE = 3
"""Of the weights in a checkpoint, of which there are two while one replaces the other."""
MEMORY_SHARE = 0.8
FEW = 60
"""Images, or groups of them, that a threshold is held out from at least; of fewer pictures all are
left out in turn instead, where nothing is trained."""
TREATED: dict[Depth | None, str] = {
    None: "frozen",
    "last": "its last layers fine-tuned",
    "all": "all of it fine-tuned",
}
"""What is done to a network with published weights."""
Folders = str | Path | Sequence[str | Path]


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
    parts: Parts | FrozenParts
    group_by: str
    groups: Groups
    """The known images that belong together: copies, near copies, tracks."""
    held_out: float
    """Share of the images held out to set the threshold; 0: each group is left out in turn."""
    chosen: tuple[str, ...]
    """What was chosen for the user, a sentence each."""
    audition: Audition
    """How the network was chosen."""
    detectors: tuple[str, ...]
    """Those that come into question, the plainest first."""

    @property
    def bytes_written(self) -> int:
        """About how much the model takes on a disk, and the state of its training."""
        parts = self.parts
        if isinstance(parts, FrozenParts):
            return sum(4 * weight.numel() for weight in parts.frozen.network.parameters())
        copies = 2 * STATE + parts.networks
        return copies * weight_bytes(parts, len(self.known.source.class_names))

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
            *self.audition.lines,
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
    settings: Settings = NOTHING_ASKED,
    *,
    novelties: Folders = (),
    anomalies: Folders = (),
    progress: Callable[[int, int], None] | None = None,
    on_step: Callable[[Progress], None] | None = None,
) -> Plan:
    """Read the folders and decide on everything that was not asked for.

    Args:
        known: labelled images, ``known/class/...``, or a list of them.
        outliers: folders of images of none of the classes.
        settings: what was asked for.
        novelties: folders of images of other classes of the same kind of picture.
        anomalies: folders of images of nothing like the classes.
        progress: called with (files done, files).
        on_step: called as candidates of an audition are tried.

    Raises:
        UserError: anything that cannot be used, in one clear sentence.
    """
    known = Path(known)
    given = [_listed(folders) for folders in (outliers, novelties, anomalies)]
    check_numbers(settings)
    objective = choose_objective(settings, any(given))
    outputs: tuple[Field, ...] = ("stages", "features", *objective.heads)
    if settings.detector:
        make_detector(settings.detector, outputs)  # a name that cannot be is told now
    refuse_split_folders(known)
    listing = list_pictures(known, classes=True)
    size, colour = measure_folder(known, classes=True, listing=listing)
    reader = Reader(
        known,
        listing,
        outliers=given[0],
        novelties=given[1],
        anomalies=given[2],
        memory=usual_memory() if settings.memory is None else settings.memory,
        memory_limit=settings.memory_limit,
        max_pixels=settings.max_pixels,
        progress=progress,
    )
    channels = settings.channels or (3 if colour else 1)
    audition = choose_network(reader, settings, objective, size, channels, on_step)
    recipe = recipe_for(audition.chosen)
    if isinstance(recipe, FrozenRecipe):
        side = recipe.side_for(min(size), len(listing.files), settings.size)
        return _frozen_plan(reader, settings, recipe, side, channels, audition)
    return _trained_plan(reader, settings, recipe, channels, audition, objective)


def _frozen_plan(
    reader: Reader,
    settings: Settings,
    recipe: FrozenRecipe,
    side: int,
    channels: int,
    audition: Audition,
) -> Plan:
    """The plan of a boundary on a frozen network.

    Raises:
        UserError: settings of a training, or a detector that a frozen network cannot have.
    """
    refuse_training(settings, recipe.name)
    head = audition.head or Head(recipe.pooling, settings.detector or recipe.detector)
    detector = make_detector(head.detector, ("stages", "features"))
    if detector.moves_images:
        raise UserError(
            f"the detector {settings.detector} moves every image by a gradient, which features kept "
            f"on disk do not have; take --detector {recipe.detector}, or another network"
        )
    frozen = frozen_network(recipe, channels, side, head.pooling)  # its errors come first
    refuse_fine_tuning(settings, recipe.name, frozen.network.depths)
    reads = reader.read(unsettled(settings, recipe, side, channels))
    groups = _grouped(reads, settings)
    refuse_unprovable_error(settings, groups.count)
    share = settings.held_out or held_share(settings, groups.count)
    firm = settings.confidence is not None or settings.max_error is not None
    in_turn = settings.fine_tune is None or (
        settings.fine_tune == "last" and detector.reads == ("features",)
    )
    spared = share * groups.count >= FEW or not in_turn
    few = settings.held_out is None and not spared and not firm
    parts = FrozenParts(
        frozen=frozen,
        detector=detector,
        preprocessing=reads.preprocessing,
        acceptance=settings.acceptance,
        by="class" if settings.per_class else "all",
        confidence=settings.confidence,
        max_error=settings.max_error,
        seed=settings.seed,
        tuning=tuning_of(settings),
    )
    chosen = (
        _shape_words(reads.preprocessing),
        f"the network {recipe.name}, {TREATED[settings.fine_tune]}"
        + (", which the outliers of unknown kind change nothing of" if reads.outliers else ""),
        f"the detector {head}",
        "the threshold from leaving pictures out in turn, as they are few"
        if few
        else _held_words(settings, share, groups, reads.known),
    )
    held_out = 0.0 if few else share
    detectors = (head.detector,)
    return _plan(reads, parts, settings, groups, held_out, chosen, audition, detectors)


def _trained_plan(
    reader: Reader,
    settings: Settings,
    recipe: Recipe,
    channels: int,
    audition: Audition,
    objective: Objective,
) -> Plan:
    """The plan of a network that is trained from nothing.

    Raises:
        UserError: it was to be fine-tuned.
    """
    refuse_fine_tuning(settings, audition.chosen, ())
    outputs: tuple[Field, ...] = ("stages", "features", *objective.heads)
    backbone = audition.chosen
    reads = reader.read(unsettled(settings, recipe, settings.size or recipe.side, channels))
    inside, preprocessing = reads.known, reads.preprocessing
    if not isinstance(settings.objective, Objective):
        objective = with_batches(objective, recipe.batches, recipe.same_share)
    groups = _grouped(reads, settings)
    refuse_unprovable_error(settings, groups.count)
    share = settings.held_out or held_share(settings, groups.count)
    shown = bool(reads.outliers or reads.novelties or reads.anomalies)
    made = settings.synthetic and settings.objective != "ml" and objective.uses_outs
    name = objective.called(made or shown)
    training = training_of(settings, recipe, preprocessing.height)
    make = recipe.make(preprocessing, objective.scale)
    detectors = (settings.detector,) if settings.detector else usual_detectors(objective)
    parts = Parts(
        backbone=make,
        backbone_name=backbone,
        objective=objective,
        detector=partial(choose_detector, detectors, outputs, seed=settings.seed),
        training=training,
        preprocessing=preprocessing,
        acceptance=settings.acceptance,
        by="class" if settings.per_class else "all",
        confidence=settings.confidence,
        max_error=settings.max_error,
        judging=settings.judging,
        base=_base(objective, training) if made else None,
        networks=settings.networks,
    )
    weights = refuse_large_network(parts, len(inside.source.class_names), reader.memory)
    chosen = (
        _shape_words(preprocessing),
        (f"{settings.networks} networks" if settings.networks > 1 else "the network")
        + f" {backbone}"
        + (f" of {weights / GB:.2g} GB" if weights > LARGE else "")
        + (" that judge together" if settings.networks > 1 else ""),
        f"the objective {name.upper()}"
        + (" with outliers made from the known images" if made else ""),
        f"the detector {' or '.join(detectors)}"
        + (", by held-out images" if len(detectors) > 1 else ""),
        _held_words(settings, share, groups, inside),
    )
    return _plan(reads, parts, settings, groups, share, chosen, audition, detectors)


def _grouped(reads: Reads, settings: Settings) -> Groups:
    paths = [str(path) for path in reads.known.paths]
    return group_images(reads.known.source, paths, settings.group_by)


def _shape_words(preprocessing: Preprocessing) -> str:
    colour = "colour" if preprocessing.channels == 3 else "grey"
    cut = {"stretch": "", "crop": ", the middle of each picture", "pad": ", padded"}
    side = preprocessing.height
    return f"{colour} images of {side} x {side} pixels{cut[preprocessing.fit]}"


def _held_words(settings: Settings, share: float, groups: Groups, known: FolderRead) -> str:
    least = least_groups(settings.acceptance, settings.confidence, settings.max_error)
    share = max(share, min(1.0, least / groups.count))
    what = "groups" if groups.count < len(known.source) else "images"
    return f"{share:.0%} of the {what} held out to set the threshold"


def _plan(
    reads: Reads,
    parts: Parts | FrozenParts,
    settings: Settings,
    groups: Groups,
    held_out: float,
    chosen: tuple[str, ...],
    audition: Audition,
    detectors: tuple[str, ...],
) -> Plan:
    return Plan(
        known=reads.known,
        outliers=reads.outliers,
        novelties=reads.novelties,
        anomalies=reads.anomalies,
        parts=parts,
        group_by=settings.group_by,
        groups=groups,
        held_out=held_out,
        chosen=chosen,
        audition=audition,
        detectors=detectors,
    )


def usual_memory() -> int:
    """Four fifths of the machine's memory, in bytes."""
    return int(MEMORY_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def weight_bytes(parts: Parts, classes: int) -> int:
    """Bytes of one network's weights; nothing is allocated.

    Args:
        parts: what the network is built from.
        classes: C.
    """
    with torch.device("meta"):
        network = parts.backbone(**parts.objective.head_sizes(classes))
    return sum(4 * parameter.numel() for parameter in network.parameters())


def refuse_large_network(parts: Parts, classes: int, memory: int) -> int:
    """Bytes of the network's weights; nothing is allocated.

    Args:
        parts: what the network is built from.
        classes: C.
        memory: bytes that may be taken.

    Raises:
        UserError: weights, gradients and the optimizer's two averages take more than ``memory``.
    """
    weights = weight_bytes(parts, classes)
    needed = (COPIES + parts.networks - 1) * weights
    if needed > memory:
        raise UserError(
            f"training {parts.backbone_name} at this size takes about {needed / GB:,.1f} "
            f"GB for its weights alone, more than the {memory / GB:,.1f} GB allowed; ask for "
            "smaller images with --size, a shorter embedding with --dim, take --backbone wrn-16-2, "
            "or allow more with --memory"
        )
    return weights


def _listed(folders: Folders) -> list[Path]:
    return [Path(f) for f in ([folders] if isinstance(folders, str | Path) else folders)]


def _base(objective: Objective, training: Training) -> Base:
    """What is trained first, on the known images alone: a share of the steps."""
    alone = objective.without_outs()
    steps = max(1, round(BASE_SHARE * training.steps))
    return Base(alone, replace(training, steps=steps), USUAL_IMAGES)


def held_share(settings: Settings, groups: int) -> float:
    """The share of the groups to hold out: a tenth, more where they are few.

    With the least number the farthest group sets the threshold, and one odd picture lets anything
    pass.  With twice as many it stays outside, so as many are held out where they can be spared.

    Args:
        settings: of ``fit``.
        groups: of the known images.
    """
    least = least_groups(settings.acceptance, settings.confidence, settings.max_error) + 1
    twice = 2 * least / groups if settings.max_error is None else 1.0
    return min(0.5, max(0.1, least / groups, twice if twice <= SPARED else 0.0))


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
