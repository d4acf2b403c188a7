"""What can be asked of ``fit``, and what each network makes of it."""

import math
from dataclasses import dataclass, replace
from typing import get_args

from knowbound.backbones.backbone import Depth
from knowbound.boundary.boundary import Judging
from knowbound.building.tuning import Tuning
from knowbound.data.pictures.picture_files import MAX_PIXELS
from knowbound.data.preprocessing import Background, Fit, Preprocessing, Range
from knowbound.errors import UserError
from knowbound.objectives import Objective
from knowbound.objectives.choice import make_objective
from knowbound.training import Training
from knowbound.training.pace import Precision
from knowbound.workflows.recipes import TUNINGS, FrozenRecipe, Recipe

CHECKPOINT_EVERY = 100
MOST_PIXELS = 4096
"""Of a side of the images that a network takes."""
MOST_NETWORKS = 20
"""That judge together: each takes the time of one, in training and in judging."""


@dataclass(frozen=True)
class Settings:
    """What can be asked of ``fit``; None and ``auto`` are decided by the images.

    Attributes:
        objective: a name of ``knowbound.names.OBJECTIVES``, or an objective of your own.
        synthetic: whether to show outliers made from the known images themselves, where the
            objective can use them.
        detector: a name of ``knowbound.names.DETECTORS``.
        backbone: as ``recipe_for`` takes it, or ``auto``.
        audition: share of the usual training's steps that ``auto`` may spend on trying what it
            cannot know, from 0 (nothing is tried) to 1.
        fine_tune: ``last`` or ``all``: how much of a network with published weights is fine-tuned;
            None: nothing of it.
        size: side in pixels of the square images the network takes.
        channels: 1 or 3.
        dim: length of the embedding.
        margin: of a metric loss, in its own unit.
        networks: how many are trained, from other seeds, and judge together.
        steps: of the training.
        learning_rate: the largest.
        acceptance: share of new in-distribution images to accept, between 0 and 1.
        per_class: whether to set a threshold for each class with enough images.
        confidence: of the promise, as in ``Boundary.calibrate``.
        max_error: share of accepted images with the wrong class, as in ``Boundary.calibrate``.
        group_by: which images belong together beside copies, as in ``group_images``.
        held_out: share of the images kept from training to set the threshold.
        precision: as in ``Training``.
        judging: number format of a trained network's judgements, as in ``Boundary``.
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
    fine_tune: Depth | None = None
    size: int | None = None
    channels: int | None = None
    dim: int | None = None
    margin: float | None = None
    networks: int = 1
    steps: int | None = None
    learning_rate: float | None = None
    acceptance: float = 0.95
    per_class: bool = False
    confidence: float | None = None
    max_error: float | None = None
    group_by: str = "auto"
    held_out: float | None = None
    precision: Precision = "auto"
    judging: Judging = "float32"
    compile: bool | None = None
    seed: int = 0
    range: Range = "full"
    background: Background = "white"
    fit: Fit | None = None
    max_pixels: int = MAX_PIXELS
    memory: int | None = None
    memory_limit: int = 2 * 1024**3


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
            "fine-tuning",
            settings.fine_tune,
            settings.fine_tune in (None, *get_args(Depth)),
            f"one of {', '.join(get_args(Depth))}",
        ),
        (
            "a share for the audition",
            settings.audition,
            0 <= settings.audition <= 1,
            "one from 0 (nothing is tried) to 1, such as 0.2",
        ),
        (
            "a number of networks",
            settings.networks,
            1 <= settings.networks <= MOST_NETWORKS,
            f"one from 1 to {MOST_NETWORKS}",
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
            "a size",
            settings.size,
            settings.size is None or 1 <= settings.size <= MOST_PIXELS,
            f"a side from 1 to {MOST_PIXELS} pixels",
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


def refuse_training(settings: Settings, name: str) -> None:
    """Check that nothing was asked for that only a training from nothing can give.

    Args:
        settings: what was asked for.
        name: of the network, frozen or fine-tuned.

    Raises:
        UserError: it names the setting.
    """
    tuned = settings.fine_tune is not None
    asked = {
        "an objective": settings.objective,
        "a number of networks": settings.networks if settings.networks > 1 else None,
        "a number of steps": None if tuned else settings.steps,
        "a learning rate": None if tuned else settings.learning_rate,
        "a length of the embedding": settings.dim,
        "another number format of judging": None if settings.judging == "float32" else "bf16",
    }
    how = "is fine-tuned by a loss of its own" if tuned else "is frozen and nothing is trained"
    for what, value in asked.items():
        if value is not None:
            raise UserError(
                f"{what} ({value}) was asked for, but {name} {how}; leave it out, or take "
                "--backbone wrn-16-2"
            )


def refuse_fine_tuning(settings: Settings, name: str, depths: tuple[Depth, ...]) -> None:
    """Check that a network can be fine-tuned as was asked.

    Args:
        settings: what was asked for.
        name: of the network.
        depths: how much of it can be.

    Raises:
        UserError: it cannot be.
    """
    asked = settings.fine_tune
    if asked is None or asked in depths:
        return
    why = (
        f"only {' or '.join(depths)} of {name} can be"
        if depths
        else f"{name} has no published weights"
    )
    raise UserError(
        f"fine-tuning ({asked}) was asked for, but {why}; leave --fine-tune out, or take --backbone "
        "efficientnet-lite0"
    )


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


def usual_detectors(objective: Objective) -> tuple[str, ...]:
    """The detectors that come into question where none is named, by the heads the objective reads.

    The activations of every block are measured by their covariance.  Of few images it is that of
    the training images alone, and new images of the known classes lie anywhere.  So which one is
    better is measured on the images (``detector_choice``).

    Args:
        objective: that the network is trained with.

    Returns:
        Their names, the plainest first.
    """
    if objective.heads[0] == "logits":
        return ("max_softmax",)
    blocks = "two_heads" if "logits" in objective.heads else "centre_and_stages"
    return ("nearest_centre", blocks)


def unsettled(
    settings: Settings, recipe: Recipe | FrozenRecipe, side: int, channels: int
) -> Preprocessing:
    """How pictures become images of a network; what is "auto" is still to be measured.

    Args:
        settings: what was asked for.
        recipe: of the network.
        side: of the images, in pixels.
        channels: 1 or 3.
    """
    fit = settings.fit or recipe.fit
    return Preprocessing(side, side, channels, settings.range, settings.background, fit)


def training_of(settings: Settings, recipe: Recipe, side: int) -> Training:
    """What was asked for of a training, and the recipe's own for the rest.

    Args:
        settings: what was asked for.
        recipe: of the network.
        side: of its images, in pixels.
    """
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


def tuning_of(settings: Settings) -> Tuning | None:
    """What was asked for of a fine-tuning, and the usual for the rest; None where none was.

    Args:
        settings: what was asked for.
    """
    if settings.fine_tune is None:
        return None
    usual = TUNINGS[settings.fine_tune]
    return replace(
        usual,
        steps=settings.steps or usual.steps,
        learning_rate=settings.learning_rate or usual.learning_rate,
        seed=settings.seed,
    )
