"""The metrics of two released programs, threshold steps and all, without their loops.

Both step through 100,000 (ODIN, Liang et al. 2018) or 200,000 (Confident Classifier, Lee et al. 2018) thresholds in equal steps and
count at each.  Here the scores are sorted once and all steps are looked up together: the same numbers.  Their scores are
confidences (higher = more in-distribution), so ours are negated; give scores that are linear in the quantity they stepped
through (minus the softmax probability, say), as equal steps of its logarithm are other steps.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knowbound.metrics.counts import Scores


@dataclass(frozen=True, eq=False)
class Steps:
    """Shares of in and out images at each step of one program, and the same for its downward steps."""

    in_at_least: NDArray[np.float64]
    out_at_least: NDArray[np.float64]
    out_above: NDArray[np.float64]
    in_below_down: NDArray[np.float64]
    out_below_down: NDArray[np.float64]


def step(in_scores: Scores, out_scores: Scores, steps: int, score_range: tuple[float, float] | None) -> Steps:
    """All shares.  score_range: of our scores, (lowest, highest); by default that of the scores themselves.

    Raises ValueError where the range is not finite: it cannot be cut into equal steps.
    """
    inside, outside = np.sort(-in_scores), np.sort(-out_scores)
    if score_range is None:
        start, end = min(inside[0], outside[0]), max(inside[-1], outside[-1])
    else:
        start, end = -score_range[1], -score_range[0]
    if not np.isfinite([start, end]).all():
        raise ValueError(f"scores range from {-end} to {-start}; the legacy conventions need finite scores to cut into equal steps")
    gap = (end - start) / steps
    up = np.arange(start, end, gap) if gap > 0 else np.empty(0)
    down = np.arange(end, start, -gap) if gap > 0 else np.empty(0)

    def below(scores: Scores, thresholds: Scores, side: str) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.searchsorted(scores, thresholds, side=side) / len(scores)  # type: ignore[call-overload]
        return found

    def at_least(scores: Scores, side: str) -> NDArray[np.float64]:
        # counted, not 1 - share: the programs divide a count, and 1 - x rounds differently at their limits 0.94 and 0.96
        found: NDArray[np.float64] = (len(scores) - np.searchsorted(scores, up, side=side)) / len(scores)  # type: ignore[call-overload]
        return found

    return Steps(
        at_least(inside, "left"),
        at_least(outside, "left"),
        at_least(outside, "right"),
        below(inside, down, "left"),
        below(outside, down, "left"),
    )


def mean_fpr(steps: Steps, lowest: float, highest: float, without: float) -> float:
    """Mean FPR over the steps with TPR in [lowest, highest]; ``without`` if there is none."""
    chosen = (steps.in_at_least >= lowest) & (steps.in_at_least <= highest)
    return float(steps.out_above[chosen].mean()) if chosen.any() else without


def auroc(steps: Steps, *, last_block: bool) -> float:
    """Sum of rectangles under the ROC curve with the height at their right end; with or without the last block.

    Without it, all the area is lost that lies left of the FPR at the last step: with tied scores at the top, most of it.
    """
    if not len(steps.out_above):
        return 0.0
    widths = -np.diff(steps.out_above, prepend=1.0)
    area = float(np.dot(widths, steps.in_at_least))
    return area + float(steps.out_above[-1] * steps.in_at_least[-1]) if last_block else area


def aupr_in(steps: Steps) -> float:
    """Area under precision over recall, precision being TPR / (TPR + FPR): a ratio of shares, not of counts."""
    return _aupr(steps.in_at_least, steps.out_at_least)


def aupr_out(steps: Steps) -> float:
    """The same for out images, from the highest confidence downwards."""
    return _aupr(steps.out_below_down, steps.in_below_down)


def _aupr(recall: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    some = recall + other > 0  # both programs go no further where nothing is selected
    if not some.any():
        return 0.0
    recall, other = recall[some], other[some]
    precision = recall / (recall + other)
    widths = -np.diff(recall, prepend=1.0)
    return float(np.dot(widths, precision) + recall[-1] * precision[-1])


def best_detection_error(steps: Steps) -> float:
    """The smallest (1 - TPR + FPR) / 2 over the steps, at most 1."""
    if not len(steps.out_above):
        return 1.0
    return min(1.0, float(((1 - steps.in_at_least + steps.out_above) / 2).min()))
