"""Rows of our own beside the paper's: synthetic outliers, two heads, three networks that judge
together, and scores that read every block."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from knowbound.boundary.together import with_detectors
from knowbound.building import Base
from knowbound.data.outs.synthetic import USUAL_IMAGES
from knowbound.detectors import CentreAndStages, StageMahalanobis
from knowbound.detectors import TwoHeads as ByTwoHeads
from knowbound.detectors.detector import Detector
from knowbound.evidence import Evidence
from knowbound.experiment import Experiment, Outcome
from knowbound.judging import judge_sets, seen_names
from knowbound.objectives import TwoHeads
from knowbound.objectives.objective import MetricObjective
from knowbound.result import Result
from knowbound.training.settings import Training

SYNTHETIC = "synthetic outliers"
SEEN_AND_SYNTHETIC = "seen and synthetic outliers"
OWN_VARIANTS = (SYNTHETIC, SEEN_AND_SYNTHETIC)
TWO_HEADS = "Two heads"
NETWORKS = 3
TOGETHER = "three networks"
"""What rows of so many networks that judge together add to the variant."""
BASE_SHARE = 1 / 3
"""Of the steps, where the base is trained within the row's own budget: ``fit``'s proportion."""
BLOCKS: Mapping[str, Callable[[], Detector]] = {
    "every block": StageMahalanobis,
    "centre and every block": CentreAndStages,
}
"""What else scores the network of a metric row, by what its own rows add to the name."""


def synthetic_rows(
    odm: Experiment,
    *,
    based: bool = False,
    images: int = USUAL_IMAGES,
    seen_variant: str = SEEN_AND_SYNTHETIC,
) -> tuple[Experiment, Experiment]:
    """The row with synthetic outliers alone, and the one with seen out-of-distribution images too.

    Each has the steps of ``odm``: a third goes to a base on the known images alone, which tells
    what changes a class, unless ``odm`` starts from a base already.

    Args:
        odm: the paper's row, with seen out-of-distribution images.
        based: whether its network was trained on the known images before.
        images: synthetic outliers of each kind.
        seen_variant: names the second row.
    """
    training, first = odm.training, None
    if not based:
        first, training = _divided(odm.training)
    objective = odm.objective.without_outs()
    both = replace(
        odm,
        variant=seen_variant,
        training=training,
        base=Base(objective, first, images),
    )
    alone = replace(both, variant=SYNTHETIC, split=odm.split.without_seen_out())
    return alone, both


def _divided(whole: Training) -> tuple[Training, Training]:
    steps = round(BASE_SHARE * whole.steps)
    return replace(whole, steps=steps), replace(whole, steps=whole.steps - steps)


def with_two_heads(row: Experiment) -> Experiment:
    """The same row with a class head beside the embedding (end of Section 4.1), in the same steps.

    The class is that of the largest logit; the score is the sum of the distances to the nearest
    centre and of every block, as in the row "centre and every block" of one head.

    Args:
        row: of a metric loss.
    """
    metric = row.objective
    assert isinstance(metric, MetricObjective)
    objective = TwoHeads(metric=metric, rule=metric.rule)
    base = row.base and replace(row.base, objective=objective.without_outs())
    return replace(row, method=TWO_HEADS, objective=objective, detector=ByTwoHeads, base=base)


def by_three_networks(row: Experiment, base: Training | None = None) -> Experiment:
    """The same row by three networks that judge together, each trained in the steps of the row's
    one.

    No network is in the rows of two seeds: those of seed s have the seeds 3 s, 3 s + 1, 3 s + 2.

    Args:
        row: with a base.
        base: the training of each network's base, where that of the row's one is shared.
    """
    assert row.base is not None
    seed = NETWORKS * row.training.seed
    first = base or row.base.training
    return replace(
        row,
        variant=f"{row.variant}, {TOGETHER}",
        training=replace(row.training, seed=seed),
        base=replace(row.base, training=first and replace(first, seed=seed)),
        networks=NETWORKS,
    )


def judged_by_blocks(experiment: Experiment, outcome: Outcome) -> list[tuple[Evidence, Detector]]:
    """The same network scored by every block, alone and with the nearest centre: what each score
    says of the test images.

    Args:
        experiment: of a metric loss.
        outcome: of its run.
    """
    split = experiment.split
    detectors = [make() for make in BLOCKS.values()]
    boundaries = with_detectors(outcome.boundary, detectors, split.train, split.validation)
    runs = [
        replace(
            outcome.run,
            method=f"{outcome.run.method}, {words}",
            detector=type(detector).__name__,
        )
        for words, detector in zip(BLOCKS, detectors, strict=True)
    ]
    together = judge_sets(
        boundaries,
        runs,
        split.test,
        split.unseen_out,
        seen=seen_names(split.seen_out, split.unseen_out),
        conventions=experiment.conventions,
    )
    return list(zip(together, detectors, strict=True))


def rows_of_blocks(experiment: Experiment, outcome: Outcome) -> list[Result]:
    """The rows of ``judged_by_blocks``.

    Args:
        experiment: of a metric loss.
        outcome: of its run.
    """
    return [
        row for evidence, _ in judged_by_blocks(experiment, outcome) for row in evidence.results
    ]
