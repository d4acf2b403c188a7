"""Everything that ``fit`` decides before the training starts, so that it can be shown and checked."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from knowbound.boundary.threshold import check_error, least_groups
from knowbound.building import Base, Chosen, Parts
from knowbound.data.groups import Groups, group_images
from knowbound.data.pictures.folder import FolderRead, Problem, measure_folder
from knowbound.data.pictures.picture_files import MAX_PIXELS
from knowbound.data.pictures.picture_lists import describe_classes, list_pictures
from knowbound.data.pictures.split_folders import refuse_split_folders
from knowbound.data.preprocessing import Background, Fit, Preprocessing, Range
from knowbound.detectors.choice import make_detector
from knowbound.errors import UserError
from knowbound.frozen import FrozenNetwork, FrozenParts
from knowbound.objectives import Objective
from knowbound.objectives.choice import make_objective, with_batches
from knowbound.outputs import Field
from knowbound.training import Training
from knowbound.training.loop import Progress
from knowbound.training.pace import Precision
from knowbound.workflows.audition import (
    ENOUGH,
    JUDGED,
    TRAINED,
    Audition,
    choose,
    sample_listing,
    set_stage,
    try_frozen,
    try_trained,
)
from knowbound.workflows.reading import Reader, Reads
from knowbound.workflows.recipes import FROZEN, FrozenRecipe, Recipe, has_weights, recipe_for

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
PHOTOGRAPHS = "efficientnet-lite0"
"""The frozen network that ``auto`` tries."""
LARGE_SIDE = 64
"""Pixels of the shorter side from which pictures are photographs, until measured otherwise."""
LEAST_FROZEN = 64
"""Pixels of the smallest images that a frozen network takes."""
FEW = 0.2
"""A share that would have to be held out, from which on each picture is left out in turn instead,
as nothing is trained."""
Folders = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Settings:
    """What can be asked of ``fit``; None and ``auto`` are decided by the images.

    Attributes:
        objective: a name of ``knowbound.names.OBJECTIVES``, or an objective of your own.
        synthetic: whether to show outliers made from the known images themselves, where the
            objective can use them.
        detector: a name of ``knowbound.names.DETECTORS``.
        backbone: a name of ``RECIPES`` or ``FROZEN``, or ``auto``.
        audition: share of the usual training's steps that ``auto`` may spend on trying what it
            cannot know, from 0 (nothing is tried) to 1.
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
        fit: as in ``Preprocessing``; None: ``crop`` for networks of photographs, else ``stretch``.
        max_pixels: the most a picture's header may announce.
        memory: bytes that reading and training may take, None for four fifths of the machine's.
        memory_limit: bytes of decoded images over which they are streamed.
    """

    objective: str | Objective | None = None
    synthetic: bool = True
    detector: str | None = None
    backbone: str = "auto"
    audition: float = 0.2
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
    fit: Fit | None = None
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
    settings: Settings = Settings(),
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
    detector = settings.detector or usual_detector(objective)
    make_detector(detector, outputs)  # a name that cannot be is told now
    refuse_split_folders(known)
    listing = list_pictures(known, classes=True)
    size, colour = measure_folder(known, classes=True, listing=listing)
    reader = Reader(
        known,
        listing,
        outliers=given[0],
        novelties=given[1],
        anomalies=given[2],
        memory=settings.memory or usual_memory(),
        memory_limit=settings.memory_limit,
        max_pixels=settings.max_pixels,
        progress=progress,
    )
    channels = settings.channels or (3 if colour else 1)
    audition = _hold(reader, settings, objective, size, channels, on_step)
    recipe = recipe_for(audition.chosen)
    if isinstance(recipe, FrozenRecipe):
        side = settings.size or recipe.side_for(min(size), len(listing.files))
        return _frozen_plan(reader, settings, recipe, side, channels, audition)
    return _trained_plan(reader, settings, recipe, channels, audition, objective)


def _hold(
    reader: Reader,
    settings: Settings,
    objective: Objective,
    size: tuple[int, int],
    channels: int,
    on_step: Callable[[Progress], None] | None,
) -> Audition:
    """The network that was asked for, or that an audition shows to be best.

    Args:
        reader: of the folders.
        settings: what was asked for.
        objective: that a network is trained with.
        size: median height and width of the pictures.
        channels: 1 or 3.
        on_step: called as candidates are tried.
    """
    if settings.backbone != "auto":
        return Audition(settings.backbone, "")
    usual = "lenet" if channels == 1 else "wrn-16-2"
    large = min(size) >= LARGE_SIDE
    reason = _not_tried(settings, size, channels, large)
    if reason is not None:
        return Audition(usual, reason)
    recipe, other = FROZEN[PHOTOGRAPHS], recipe_for(usual)
    assert isinstance(other, Recipe)
    side = settings.size or recipe.side_for(min(size), len(reader.listing.files))
    small_shape = _unsettled(settings, other, settings.size or other.side, channels)
    large_shape = _unsettled(settings, recipe, side, channels)
    listing = sample_listing(reader.listing, TRAINED[large])
    small = reader.read_some(small_shape, listing)
    shown = reader.read_some(large_shape, sample_listing(listing, JUDGED))
    stage = set_stage(small, shown, settings.group_by, settings.seed)
    if stage is None:
        chosen = PHOTOGRAPHS if large else usual
        return Audition(
            chosen,
            f"Chosen: {chosen}; there are too few pictures, or too few that do not belong together, for an audition.",
        )
    frozen = _frozen_network(recipe, channels, large_shape, settings)
    fields: tuple[Field, ...] = ("stages", "features")
    trials = [try_frozen(stage, frozen, make_detector(recipe.detector, fields), on_step)]
    if trials[0].mark < ENOUGH:
        objective = with_batches(objective, other.batches, other.same_share)
        training = _training(settings, other, small_shape.height)
        training = replace(training, steps=round((1 + BASE_SHARE) * training.steps))
        base = Base(objective.without_outs(), training)
        heads: tuple[Field, ...] = ("stages", "features", *base.objective.heads)
        detector = make_detector(usual_detector(base.objective), heads)
        make = other.make(small_shape, base.objective.scale)
        trials.append(try_trained(stage, usual, make, base, detector, settings.audition, on_step))
    chosen, reason = choose(trials)
    names = stage.large.source.class_names
    return Audition(
        chosen,
        reason,
        tuple(trials),
        tuple(name for label, name in enumerate(names) if label not in stage.known),
        int((stage.judged & stage.is_known).sum()),
        int((~stage.is_known).sum()),
    )


def _not_tried(settings: Settings, size: tuple[int, int], channels: int, large: bool) -> str | None:
    """Why the usual network is taken without an audition, empty where nobody need be told; None
    where there is to be one."""
    if not large and channels == 1:
        return ""
    if settings.audition == 0 or not _frozen_fits(settings):
        return ""
    if os.environ.get("WORLD_SIZE", "1") != "1":
        return ""
    if not has_weights(PHOTOGRAPHS):
        height, width = size
        return (
            (
                f"Pictures of about {width} x {height} pixels: a network trained on photographs may "
                "judge them far better; pip install 'knowbound[photographs]' (17 MB) has fit try "
                "one, without any network access later."
            )
            if large
            else ""
        )
    return None


def _frozen_fits(settings: Settings) -> bool:
    """Whether nothing was asked for that only a training can give."""
    asked = (settings.objective, settings.steps, settings.learning_rate, settings.dim)
    small = settings.size is not None and settings.size < LEAST_FROZEN
    return all(value is None for value in asked) and not small and settings.detector is None


def _unsettled(
    settings: Settings, recipe: Recipe | FrozenRecipe, side: int, channels: int
) -> Preprocessing:
    fit = settings.fit or recipe.fit
    return Preprocessing(side, side, channels, settings.range, settings.background, fit)


def _training(settings: Settings, recipe: Recipe, side: int) -> Training:
    """What was asked for of a training, and the recipe's own for the rest."""
    usual = recipe.training(side)
    return replace(
        usual,
        steps=settings.steps or usual.steps,
        learning_rate=settings.learning_rate or usual.learning_rate,
        precision=settings.precision,
        compile=settings.compile,
        seed=settings.seed,
        checkpoint_every=CHECKPOINT_EVERY,
    )


def _frozen_network(
    recipe: FrozenRecipe, channels: int, preprocessing: Preprocessing, settings: Settings
) -> FrozenNetwork:
    return FrozenNetwork(
        recipe.make(channels), recipe.name, preprocessing.height, settings.precision
    )


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
    detector = make_detector(settings.detector or recipe.detector, ("stages", "features"))
    if detector.moves_images:
        raise UserError(
            f"the detector {settings.detector} moves every image by a gradient, which features kept "
            f"on disk do not have; take --detector {recipe.detector}, or another network"
        )
    unsettled = _unsettled(settings, recipe, side, channels)
    frozen = _frozen_network(recipe, channels, unsettled, settings)
    reads = reader.read(unsettled)
    groups = _grouped(reads, settings)
    refuse_unprovable_error(settings, groups.count)
    share = settings.held_out or _share(settings, groups.count)
    firm = settings.confidence is not None or settings.max_error is not None
    few = settings.held_out is None and share > FEW and not firm
    parts = FrozenParts(
        frozen=frozen,
        detector=detector,
        preprocessing=reads.preprocessing,
        acceptance=settings.acceptance,
        by="class" if settings.per_class else "all",
        confidence=settings.confidence,
        max_error=settings.max_error,
        seed=settings.seed,
    )
    chosen = (
        _shape_words(reads.preprocessing),
        f"the network {recipe.name}, frozen",
        f"the detector {settings.detector or recipe.detector}",
        "the threshold from leaving each picture out in turn, as they are few"
        if few
        else _held_words(share, groups, reads.known),
    )
    return _plan(reads, parts, settings, groups, 0.0 if few else share, chosen, audition)


def refuse_training(settings: Settings, name: str) -> None:
    """Check that nothing was asked for that only a training can give.

    Args:
        settings: what was asked for.
        name: of the frozen network.

    Raises:
        UserError: it names the setting.
    """
    asked = {
        "an objective": settings.objective,
        "a number of steps": settings.steps,
        "a learning rate": settings.learning_rate,
        "a length of the embedding": settings.dim,
    }
    for what, value in asked.items():
        if value is not None:
            raise UserError(
                f"{what} ({value}) was asked for, but {name} is frozen and nothing is trained; "
                "leave it out, or take --backbone wrn-16-2"
            )


def _trained_plan(
    reader: Reader,
    settings: Settings,
    recipe: Recipe,
    channels: int,
    audition: Audition,
    objective: Objective,
) -> Plan:
    """The plan of a network that is trained from nothing."""
    outputs: tuple[Field, ...] = ("stages", "features", *objective.heads)
    detector = settings.detector or usual_detector(objective)
    backbone = audition.chosen
    reads = reader.read(_unsettled(settings, recipe, settings.size or recipe.side, channels))
    inside, preprocessing = reads.known, reads.preprocessing
    if not isinstance(settings.objective, Objective):
        objective = with_batches(objective, recipe.batches, recipe.same_share)
    groups = _grouped(reads, settings)
    refuse_unprovable_error(settings, groups.count)
    share = settings.held_out or _share(settings, groups.count)
    shown = bool(reads.outliers or reads.novelties or reads.anomalies)
    made = settings.synthetic and settings.objective != "ml" and objective.uses_outs
    name = objective.called(made or shown)
    training = _training(settings, recipe, preprocessing.height)
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
    weights = refuse_large_network(parts, len(inside.source.class_names), reader.memory)
    chosen = (
        _shape_words(preprocessing),
        f"the network {backbone}" + (f" of {weights / GB:.2g} GB" if weights > LARGE else ""),
        f"the objective {name.upper()}"
        + (" with outliers made from the known images" if made else ""),
        f"the detector {detector}",
        _held_words(share, groups, inside),
    )
    return _plan(reads, parts, settings, groups, share, chosen, audition)


def _grouped(reads: Reads, settings: Settings) -> Groups:
    paths = [str(path) for path in reads.known.paths]
    return group_images(reads.known.source, paths, settings.group_by)


def _shape_words(preprocessing: Preprocessing) -> str:
    colour = "colour" if preprocessing.channels == 3 else "grey"
    cut = {"stretch": "", "crop": ", the middle of each picture", "pad": ", padded"}
    side = preprocessing.height
    return f"{colour} images of {side} x {side} pixels{cut[preprocessing.fit]}"


def _held_words(share: float, groups: Groups, known: FolderRead) -> str:
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
        (
            "a share for the audition",
            settings.audition,
            0 <= settings.audition <= 1,
            "one from 0 (nothing is tried) to 1, such as 0.2",
        ),
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
