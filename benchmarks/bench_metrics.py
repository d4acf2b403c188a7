"""Time and memory of the metrics against one sort, scikit-learn and the loops they replace.

    python -m benchmarks.bench_metrics [--quick] [--large]

Every line is a ratio of two times taken in turn in this run (medians).  --quick: fewer scores and
repeats, for a look only; --large: also the memory of 100 million scores (3 GB, a minute).
"""

import sys
import time
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from benchmarks.timing import heading, line, medians, peak_memory, quick, seconds
from knowbound.metrics import legacy, measure
from knowbound.metrics.ranking import rank

Array = NDArray[np.floating[Any]]


def scores(count: int, dtype: type = np.float64) -> tuple[Array, Array]:
    """Two overlapping sets of ``count`` scores each."""
    rng = np.random.default_rng(0)
    return rng.normal(0, 3, count).astype(dtype), rng.normal(4.5, 4, count).astype(dtype)


def against_sort(name: str, inside: Array, outside: Array, repeats: int) -> None:
    """The five exact metrics over one sort of all scores."""
    both = np.concatenate([inside, outside])
    sort, five = medians(repeats, lambda: np.sort(both), lambda: measure(inside, outside))
    line(f"five metrics / one np.sort, {name}", five / sort, "at most 1.5", seconds(five, sort))


def against_scikit_learn(inside: Array, outside: Array, repeats: int) -> None:
    """The four calls of scikit-learn over our one."""
    is_in = np.r_[np.ones(len(inside), dtype=int), np.zeros(len(outside), dtype=int)]
    both = np.concatenate([inside, outside])

    def four() -> None:
        roc_auc_score(is_in, -both)
        roc_curve(is_in, -both, drop_intermediate=False)
        average_precision_score(is_in, -both)
        average_precision_score(1 - is_in, both)

    theirs, ours = medians(repeats, four, lambda: measure(inside, outside))
    line(
        "four scikit-learn calls / five metrics", theirs / ours, "at least 5", seconds(theirs, ours)
    )


def loop(inside: Array, outside: Array, deltas: NDArray[np.float64]) -> None:
    """The work of the released loops at these steps: what their five functions count at each."""
    x, y = -inside, -outside
    for delta in (
        deltas
    ):  # FPR, AUROC and detection error: x and y once in each function; both AUPR: the same
        for _ in range(5):
            np.sum(x >= delta) / len(x)
            np.sum(y > delta) / len(y)


def against_loops(count: int, repeats: int, timed: int) -> None:
    """The legacy loops, timed at some of their steps and scaled to all of them, over ours."""
    inside, outside = scores(count)
    low, high = -max(inside.max(), outside.max()), -min(inside.min(), outside.min())
    for convention, steps in (("ccag", 200_000), ("odin", 100_000)):
        deltas = np.linspace(low, high, timed)
        few, ours = medians(
            repeats,
            partial(loop, inside, outside, deltas),
            partial(measure, inside, outside, convention=convention),
        )
        theirs = few * steps / timed
        line(
            f"loops of {convention} / ours, {count:,} + {count:,}",
            theirs / ours,
            "at least 1000",
            f"{theirs:.0f} s from {timed} of {steps:,} steps / {1e3 * ours:.1f} ms",
        )


def equal_values(steps: int) -> None:
    """The AUROC of the loop and ours at the same steps, told beside the ratios."""
    inside, outside = scores(2000)
    x, y = -inside, -outside
    start, end = min(x.min(), y.min()), max(x.max(), y.max())
    area, before = 0.0, 1.0
    for delta in np.arange(start, end, (end - start) / steps):
        fpr = float(np.mean(y > delta))
        area += (before - fpr) * float(np.mean(x >= delta))
        before = fpr
    line(
        "|AUROC of the ccag loop - ours|",
        abs(area - legacy.ccag(rank(inside, outside), steps).auroc),
        "at most 1e-12",
        f"{steps:,} steps",
    )


def memory(count: int) -> None:
    """Peak memory of the process over the bytes of the scores, after the scores exist."""
    inside, outside = (np.empty(count), np.empty(count))
    rng = np.random.default_rng(0)
    for start in range(0, count, 1 << 20):
        inside[start : start + (1 << 20)] = rng.normal(0, 3, min(1 << 20, count - start))
        outside[start : start + (1 << 20)] = rng.normal(4, 4, min(1 << 20, count - start))
    given, before = inside.nbytes + outside.nbytes, peak_memory()
    began = time.perf_counter()
    measure(inside, outside)
    line(
        f"memory added / memory of {2 * count:,} scores",
        (peak_memory() - before) / given,
        "at most 2",
        f"{time.perf_counter() - began:.0f} s",
    )


def main(quickly: bool = False, large: bool = False) -> None:
    """Print the table."""
    count, repeats = (100_000, 3) if quickly else (1_000_000, 9)
    heading()
    inside, outside = scores(count)
    against_sort("float64", inside, outside, repeats)
    against_sort("float32", *scores(count, np.float32), repeats)
    against_sort("float64 in steps of 0.01", inside.round(2), outside.round(2), repeats)
    against_scikit_learn(inside, outside, 3)
    equal_values(500)
    for size in (10_000,) if quickly else (10_000, 1_000_000):
        against_loops(size, 3, 300 if size <= 10_000 else 10)
    if large:
        memory(50_000_000)


if __name__ == "__main__":
    large = "--large" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--large"]
    main(quick(__doc__), large)
