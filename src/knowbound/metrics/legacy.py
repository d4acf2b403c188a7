"""The metrics of two released programs, threshold steps and all, without their loops.

Both step through 100,000 (ODIN, Liang et al. 2018) or 200,000 (Confident Classifier, Lee et al.
2018) thresholds in equal steps and count at each.  Here the sorted scores and the steps are
searched in each other: the same numbers.  Their scores are confidences (higher = more
in-distribution), so ours are negated; give scores that are linear in the quantity they stepped
through (minus the softmax probability, say), as equal steps of its logarithm are other steps.

ODIN's program counts out images *above* a step in its "baseline" column and *at or above* it in the
AUROC of its own column; the two differ only where a score lies exactly on a step.  We follow the
baseline column.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from knowbound.metrics import exact
from knowbound.metrics.metrics import Metrics
from knowbound.metrics.ranking import Floats, Ranking, inner

Side = Literal["left", "right"]


def odin(
    ranking: Ranking, score_range: tuple[float, float] | None = None, steps: int = 100_000
) -> Metrics:
    """The numbers of ODIN's program.

    The program's range was fixed by hand: confidences 0.1 to 1 for max-softmax on ten classes, so
    ``score_range=(-1, -0.1)`` here, and 0.1 to 0.12 at its temperature of 1000.

    Args:
        ranking: of the scores.
        score_range: (lowest, highest) of our scores to step through; by default their own range.
        steps: how many equal steps.

    Returns:
        The metrics; fpr95 is NaN where no step has a TPR in [0.9495, 0.9505].
    """
    counted = step(*ranking.scores(), steps, score_range)
    return _measure(ranking, counted, mean_fpr(counted, 0.9495, 0.9505, math.nan), last_block=True)


def ccag(ranking: Ranking, steps: int = 200_000) -> Metrics:
    """The numbers of Confident Classifier's program.

    Args:
        ranking: of the scores.
        steps: how many equal steps.

    Returns:
        The metrics; fpr95 is 1 where no step has a TPR in [0.94, 0.96].
    """
    counted = step(*ranking.scores(), steps, None)
    return _measure(ranking, counted, mean_fpr(counted, 0.94, 0.96, 1.0), last_block=False)


def _measure(ranking: Ranking, steps: "Steps", fpr: float, *, last_block: bool) -> Metrics:
    return Metrics(
        fpr,
        best_detection_error(steps),
        auroc(steps, last_block=last_block),
        aupr_in(steps),
        aupr_out(steps),
        exact.areas(ranking).tie_share,
        math.nan,
    )


@dataclass(frozen=True, eq=False, slots=True)
class Steps:
    """Shares of in and out images at each step up of one program, and at each of its steps down."""

    in_at_least: Floats
    in_below: Floats
    out_at_least: Floats
    out_above: Floats
    in_below_down: Floats
    out_below_down: Floats


def step(
    in_scores: Floats, out_scores: Floats, steps: int, score_range: tuple[float, float] | None
) -> Steps:
    """All shares at equal steps, none where all scores are equal.

    Args:
        in_scores: (N,) ascending.
        out_scores: (M,) ascending.
        steps: how many.
        score_range: (lowest, highest) to step through, or None for their own.

    Raises:
        ValueError: the range is not finite or not ascending, so it cannot be cut into equal steps.
    """
    inside, outside = -in_scores[::-1], -out_scores[::-1]
    lowest, highest = score_range or (
        min(in_scores[0], out_scores[0]),
        max(in_scores[-1], out_scores[-1]),
    )
    start, end = -highest, -lowest
    if not math.isfinite(end - start):
        raise ValueError(
            f"scores range from {lowest} to {highest}; the legacy conventions need finite scores "
            "to cut into equal steps"
        )
    if start > end:
        raise ValueError(
            f"the score range ({lowest}, {highest}) was given; expected the lower end first"
        )
    gap = (end - start) / steps
    up = np.arange(start, end, gap) if gap > 0 else np.empty(0)
    down = np.arange(end, start, -gap) if gap > 0 else np.empty(0)
    n_in, n_out = len(inside), len(outside)
    in_below = below(inside, up, "left")
    # at least: counted, not 1 - share: the programs divide a count, and 1 - x rounds differently at
    # their limits 0.94 and 0.96
    return Steps(
        (n_in - in_below) / n_in,
        in_below / n_in,
        (n_out - below(outside, up, "left")) / n_out,
        (n_out - below(outside, up, "right")) / n_out,
        below(inside, down[::-1], "left")[::-1] / n_in,
        below(outside, down[::-1], "left")[::-1] / n_out,
    )


def below(scores: Floats, steps: Floats, side: Side) -> NDArray[np.int64]:
    """How many scores are below ("left") or at most ("right") each step; the fewer are searched in
    the more.

    Args:
        scores: (N,) ascending.
        steps: (S,) ascending.
        side: ``left`` or ``right``.

    Returns:
        (S,) int64.
    """
    if len(scores) >= len(steps):
        return np.searchsorted(scores, steps, side)
    first = np.searchsorted(
        steps, scores, "right" if side == "left" else "left"
    )  # the first step that counts each score
    return np.cumsum(np.bincount(first, minlength=len(steps) + 1)[:-1])


def mean_fpr(steps: Steps, lowest: float, highest: float, without: float) -> float:
    """Mean FPR over the steps with a TPR in [lowest, highest].

    Args:
        steps: the shares at each.
        lowest: of the TPR.
        highest: of the TPR.
        without: what to give where there is no such step.
    """
    chosen = (steps.in_at_least >= lowest) & (steps.in_at_least <= highest)
    return float(steps.out_above[chosen].mean()) if chosen.any() else without


def auroc(steps: Steps, *, last_block: bool) -> float:
    """Sum of rectangles under the ROC curve with the height at their right end.

    Without the last block, all the area is lost that lies left of the FPR at the last step: with
    tied scores at the top, most of it.

    Args:
        steps: the shares at each.
        last_block: whether to count it.

    Returns:
        A fraction; NaN of no steps.
    """
    if not len(steps.out_above):
        return math.nan
    widths = -np.diff(steps.out_above, prepend=1.0)
    area = inner(widths, steps.in_at_least)
    return area + float(steps.out_above[-1] * steps.in_at_least[-1]) if last_block else area


def aupr_in(steps: Steps) -> float:
    """Area under precision over recall, precision being TPR / (TPR + FPR): a ratio of shares, not
    of counts; NaN of no steps."""
    return _aupr(steps.in_at_least, steps.out_at_least)


def aupr_out(steps: Steps) -> float:
    """The same for out images, from the highest confidence downwards."""
    return _aupr(steps.out_below_down, steps.in_below_down)


def _aupr(recall: Floats, other: Floats) -> float:
    # Both shares fall from step to step and both programs use no step without any image, so those
    # they use come first.
    used = len(recall) - int(np.searchsorted((recall + other)[::-1], 0, side="right"))
    if not used:
        return math.nan
    recall, other = recall[:used], other[:used]
    precision = recall / (recall + other)
    widths = -np.diff(recall, prepend=1.0)
    return inner(widths, precision) + float(recall[-1] * precision[-1])


def best_detection_error(steps: Steps) -> float:
    """The smallest (1 - TPR + FPR) / 2 over the steps, at most 1; NaN of no steps."""
    if not len(steps.out_above):
        return math.nan
    return min(1.0, float((steps.in_below + steps.out_above).min()) / 2)
