"""Histograms that lose nothing, and ROC curves against the definition by counting pairs."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import auc

from knowbound.report.scores import histogram, roc_curve, thin

RNG = np.random.default_rng(0)


def area_by_pairs(in_scores: NDArray[np.float64], out_scores: NDArray[np.float64]) -> float:
    """Chance that an out image scores higher than an in image; ties count half."""
    wins = sum(float(o > i) + 0.5 * float(o == i) for i in in_scores for o in out_scores)
    return wins / (len(in_scores) * len(out_scores))


@pytest.mark.parametrize(
    ("in_scores", "out_scores"),
    [
        (RNG.normal(0, 1, 60), RNG.normal(1, 1, 80)),
        (RNG.integers(0, 5, 60).astype(float), RNG.integers(2, 7, 50).astype(float)),  # many ties
        (np.zeros(4), np.zeros(3)),
        (np.array([1.0]), np.array([2.0])),
        (np.array([0.0, 1.0, np.inf]), np.array([1.0, np.inf, np.inf])),
    ],
)
def test_area_under_the_corners_is_the_auroc(
    in_scores: NDArray[np.float64], out_scores: NDArray[np.float64]
) -> None:
    x, y = roc_curve(in_scores, out_scores)
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert auc(x, y) == pytest.approx(area_by_pairs(in_scores, out_scores), abs=1e-12)


def test_every_corner_is_an_attained_pair_of_shares() -> None:
    ins, outs = RNG.normal(0, 1, 40), RNG.normal(1, 1, 30)
    thresholds = [-np.inf, *np.concatenate([ins, outs])]
    attained = {(float(np.mean(outs <= t)), float(np.mean(ins <= t))) for t in thresholds}
    assert set(zip(*(values.tolist() for values in roc_curve(ins, outs)), strict=True)) <= attained


def test_thinning_keeps_corners_and_ends_and_nearly_the_area() -> None:
    x, y = roc_curve(RNG.normal(0, 1, 5000), RNG.normal(1, 1, 4000))
    few_x, few_y = thin(x, y, 300)
    assert len(few_x) <= 300 < len(x)
    assert set(zip(few_x, few_y, strict=True)) <= set(zip(x, y, strict=True))
    assert (few_x[0], few_y[0], few_x[-1], few_y[-1]) == (0, 0, 1, 1)
    assert auc(few_x, few_y) == pytest.approx(auc(x, y), abs=1e-3)


def test_an_empty_side_has_no_curve() -> None:
    with pytest.raises(ValueError, match="both sides"):
        roc_curve(np.empty(0), np.ones(3))


@pytest.mark.parametrize(
    "sets",
    [
        [RNG.normal(0, 1, 500), RNG.normal(3, 1, 300)],
        [RNG.normal(1, 0.1, 500), np.exp(RNG.normal(5, 5, 400))],
        [np.array([1.0, np.inf, -np.inf, np.nan]), np.array([np.inf] * 5)],
        [np.full(3, np.inf)],
        [np.full(7, 2.0)],
        [RNG.normal(0, 1, 50), np.empty(0)],
        [np.empty(0)],
    ],
)
@pytest.mark.parametrize("threshold", [1.5, np.inf])
def test_every_score_is_counted_once(sets: list[NDArray[np.float64]], threshold: float) -> None:
    counted = histogram(sets, threshold)
    assert [int(counts.sum()) for counts in counted.counts] == [len(scores) for scores in sets]
    assert np.isfinite(counted.edges).all()
    assert (np.diff(counted.edges) > 0).all()


def test_bins_against_a_loop() -> None:
    scores = RNG.uniform(0, 10, 200)
    counted = histogram([scores], 5.0, bins=10)
    slow = [0] * 10
    for score in scores:
        slow[max(i for i in range(10) if counted.edges[i] <= score)] += 1
    assert counted.counts[0].tolist() == slow
    assert (counted.below, counted.above) == (0, 0)
    assert counted.edges[[0, -1]].tolist() == [scores.min(), scores.max()]


@pytest.mark.parametrize(("share", "logarithmic"), [(0.05, False), (0.5, True)])
def test_far_scores_do_not_hide_the_threshold(share: float, logarithmic: bool) -> None:
    far = int(1000 * share)
    ins, outs = RNG.uniform(0, 1, 1000 - far), RNG.uniform(1e5, 1e6, far)
    counted = histogram([ins, outs], 0.9)
    assert counted.logarithmic == logarithmic
    low, threshold, high = (np.log10 if logarithmic else np.array)(
        [counted.edges[0], 0.9, counted.edges[-1]]
    )
    assert 0.05 < (threshold - low) / (high - low) < 0.95
    assert counted.above == (0 if logarithmic else far)
    assert counted.counts[1][counted.edges[:-1] > 1.0].sum() == far


def test_scores_over_decades_get_logarithmic_bins_that_leave_out_little() -> None:
    """As under the max-softmax: the threshold at a thousandth of what most out images score."""
    ins, outs = 10 ** RNG.uniform(-7, -3, 300), 10 ** RNG.uniform(-2, 0, 700)
    outs[:5] = 0.0
    counted = histogram([ins, outs], 1e-3, bins=40)
    assert counted.logarithmic
    assert np.diff(np.log10(counted.edges)) == pytest.approx(
        np.full(40, np.log10(counted.edges[-1] / counted.edges[0]) / 40)
    )
    assert counted.edges[0] < 1e-3 < counted.edges[-1] == pytest.approx(outs.max())
    assert [int(counts.sum()) for counts in counted.counts] == [300, 700]
    assert counted.above <= 1
    assert counted.below < 15
    for counts, scores in zip(counted.counts, (ins, outs), strict=True):
        for left, right, count in list(
            zip(counted.edges[:-1], counted.edges[1:], counts, strict=True)
        )[1:-1]:
            assert count == sum(left <= score < right for score in scores)


@pytest.mark.parametrize(
    ("ins", "outs", "threshold"),
    [
        (RNG.normal(1, 0.1, 300), RNG.normal(5, 1, 300), 1.2),  # nothing is left out
        (RNG.uniform(0, 1, 990), np.full(10, 1e9), 1.0),  # a few far scores
        (RNG.normal(0, 1, 300), RNG.normal(900, 1, 300), 2.0),  # negative scores have no logarithm
    ],
)
def test_other_scores_get_equal_bins(
    ins: NDArray[np.float64], outs: NDArray[np.float64], threshold: float
) -> None:
    counted = histogram([ins, outs], threshold)
    assert not counted.logarithmic
    assert np.diff(counted.edges) == pytest.approx(
        np.full(len(counted.edges) - 1, np.diff(counted.edges)[0])
    )
