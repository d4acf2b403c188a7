"""Every metric against its definition by brute force, scikit-learn as a second opinion, and the
released programs' loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import (
    auc,
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from knowbound import metrics
from knowbound.metrics import CONVENTIONS, FORMER, Metrics, legacy, measure, ranking
from knowbound.metrics.exact import needed
from knowbound.metrics.ranking import rank

Array = NDArray[np.float64]
tied = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=25).map(np.array)
continuous = st.lists(st.floats(-100, 100), min_size=1, max_size=25).map(np.array)


def slow(inside: Array, outside: Array, tpr: float = 0.95) -> dict[str, float]:
    """Each metric by its definition, with loops over thresholds and pairs."""
    scores = sorted({*inside.tolist(), *outside.tolist()})
    rates = [(t, sum(i <= t for i in inside), sum(o <= t for o in outside)) for t in scores]
    threshold = next(t for t, accepted, _ in rates if accepted >= tpr * len(inside) - 1e-9)
    fpr = sum(o <= threshold for o in outside) / len(outside)
    pairs = [1.0 if o > i else 0.5 if o == i else 0.0 for i in inside for o in outside]
    aupr_in = recall = 0.0
    for _, accepted, wrong in rates:
        aupr_in += (accepted / len(inside) - recall) * accepted / (accepted + wrong)
        recall = accepted / len(inside)
    aupr_out = recall = 0.0
    for t in reversed(scores):
        caught, wrong = sum(o >= t for o in outside), sum(i >= t for i in inside)
        aupr_out += (caught / len(outside) - recall) * caught / (caught + wrong)
        recall = caught / len(outside)
    best = min([0.5] + [0.5 * (1 - a / len(inside)) + 0.5 * w / len(outside) for _, a, w in rates])
    return {
        "fpr95": fpr,
        "detection_error": 0.5 * (1 - tpr) + 0.5 * fpr,
        "auroc": sum(pairs) / len(pairs),
        "aupr_in": aupr_in,
        "aupr_out": aupr_out,
        "best": best,
        "threshold": threshold,
    }


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.tuples(tied, tied), st.tuples(continuous, continuous)))
def test_exact_metrics_are_their_definitions(pair: tuple[Array, Array]) -> None:
    inside, outside = pair
    found, expected = measure(inside, outside), slow(inside, outside)
    for name in ("fpr95", "detection_error", "auroc", "aupr_in", "aupr_out", "threshold"):
        assert getattr(found, name) == pytest.approx(expected[name], abs=1e-12), name
    assert metrics.best_detection_error(inside, outside) == pytest.approx(
        expected["best"], abs=1e-12
    )
    both = np.concatenate([inside, outside])
    assert found.tie_share == pytest.approx(np.mean([(both == s).sum() > 1 for s in both]))


def samples(ties: bool = False) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(0, 1, 700), rng.normal(1.2, 1.5, 400)
    return (np.round(inside, 1), np.round(outside, 1)) if ties else (inside, outside)


@pytest.mark.parametrize("ties", [False, True])
def test_scikit_learn_agrees(ties: bool) -> None:
    inside, outside = samples(ties)
    is_in, scores = np.r_[np.ones(700), np.zeros(400)], np.r_[inside, outside]
    found = measure(inside, outside)
    assert found.auroc == pytest.approx(roc_auc_score(is_in, -scores))
    assert found.aupr_in == pytest.approx(average_precision_score(is_in, -scores))
    assert found.aupr_out == pytest.approx(average_precision_score(1 - is_in, scores))


def released(
    inside: Array, outside: Array, tpr: float = 0.95, *, thinned: bool = True
) -> dict[str, float]:
    """The calls of the paper's released program (``calculate_metrics``), on minus our scores."""
    is_in, scores = np.r_[np.ones(len(inside)), np.zeros(len(outside))], np.r_[inside, outside]
    fpr, found, thresholds = roc_curve(is_in, -scores, pos_label=1, drop_intermediate=thinned)
    nearest = np.abs(found - tpr).argmin()
    areas = {}
    for name, truth, score in (("aupr_in", is_in, -scores), ("aupr_out", 1 - is_in, scores)):
        precision, recall, _ = precision_recall_curve(truth, score)
        areas[name] = float(auc(recall, precision))
    return {
        "fpr95": float(fpr[nearest]),
        "detection_error": float(0.5 * (1 - found[nearest]) + 0.5 * fpr[nearest]),
        "auroc": float(roc_auc_score(is_in, -scores)),
        "threshold": float(-thresholds[nearest]),
        **areas,
    }


def openood_program(inside: Array, outside: Array, tpr: float = 0.95) -> dict[str, float]:
    """The calls of OpenOOD's ``auc_and_fpr_recall`` (version 1.5), on minus our scores."""
    is_out, conf = np.r_[np.zeros(len(inside)), np.ones(len(outside))], -np.r_[inside, outside]
    fpr, found, thresholds = roc_curve(is_out, -conf)
    first = np.argmax(found >= tpr)
    precision_in, recall_in, _ = precision_recall_curve(1 - is_out, conf)
    precision_out, recall_out, _ = precision_recall_curve(is_out, -conf)
    return {
        "fpr95": float(fpr[first]),
        "auroc": float(auc(fpr, found)),
        "aupr_in": float(auc(recall_in, precision_in)),
        "aupr_out": float(auc(recall_out, precision_out)),
        "threshold": float(thresholds[first]),
    }


apart = st.tuples(tied, tied, st.booleans()).map(  # perfectly separated, either way round
    lambda drawn: (drawn[0], drawn[1] + 10) if drawn[2] else (drawn[1] + 10, drawn[0])
)
pairs = st.one_of(
    st.tuples(tied, tied),
    st.tuples(continuous, continuous),
    st.tuples(continuous, tied),
    apart,
    st.permutations(range(30)).map(lambda p: (np.array(p[:22], float), np.array(p[22:], float))),
)
shares = st.sampled_from([0.95, 0.95, 0.5, 0.3, 0.05, 1.0])


@settings(max_examples=300, deadline=None)
@given(pairs, shares)
def test_seed_is_what_the_released_program_computes(pair: tuple[Array, Array], tpr: float) -> None:
    same(measure(*pair, convention="seed", tpr=tpr), released(*pair, tpr))
    same(measure(*pair, convention="seed_unthinned", tpr=tpr), released(*pair, tpr, thinned=False))


@settings(max_examples=300, deadline=None)
@given(pairs, shares)
def test_openood_is_what_its_program_computes(pair: tuple[Array, Array], tpr: float) -> None:
    same(measure(*pair, convention="openood", tpr=tpr), openood_program(*pair, tpr))


@pytest.mark.parametrize("ties", [False, True])
def test_both_programs_agree_on_many_scores(ties: bool) -> None:
    pair = samples(ties)
    same(measure(*pair, convention="seed"), released(*pair))
    same(measure(*pair, convention="openood"), openood_program(*pair))
    assert measure(*pair, convention="openood").fpr95 != measure(*pair).fpr95


def test_thinning_moves_the_tpr() -> None:
    low, high = np.arange(100.0), np.arange(100.0) + 1000
    thinned, whole = (measure(low, high, convention=c) for c in ("seed", "seed_unthinned"))
    assert (thinned.detection_error, thinned.threshold) == (0.0, 99.0)
    assert (whole.detection_error, whole.threshold) == (pytest.approx(0.025), 94.0)
    assert measure(low[:40], low[:40], convention="openood").fpr95 == 1.0
    found = measure([1.0], [2.0], convention="seed", tpr=0.4)  # nothing accepted: a TPR of 0
    assert (found.threshold, found.fpr95, found.detection_error) == (-math.inf, 0.0, 0.5)


def loop(
    inside: Array,
    outside: Array,
    steps: int,
    convention: str,
    score_range: tuple[float, float] | None = None,
) -> dict[str, float]:
    """What the released programs do, one threshold at a time, on confidences (minus our scores)."""
    x, y = -inside, -outside
    start, end = min(x.min(), y.min()), max(x.max(), y.max())
    if score_range:
        start, end = -score_range[1], -score_range[0]
    low, high = (0.9495, 0.9505) if convention == "odin" else (0.94, 0.96)
    gap = (end - start) / steps
    total = fpr_sum = area = 0.0
    previous, error = 1.0, 1.0
    for delta in np.arange(start, end, gap):
        tpr, fpr = np.sum(x >= delta) / len(x), np.sum(y > delta) / len(y)
        if low <= tpr <= high:
            fpr_sum, total = fpr_sum + fpr, total + 1
        area += (previous - fpr) * tpr
        previous = fpr
        error = min(error, (np.sum(x < delta) / len(x) + fpr) / 2)
    if convention == "odin":
        area += fpr * tpr
    aupr_in, recall_before = 0.0, 1.0
    for delta in np.arange(start, end, gap):
        tp, fp = np.sum(x >= delta) / len(x), np.sum(y >= delta) / len(y)
        if tp + fp == 0:
            continue
        precision, recall = tp / (tp + fp), tp
        aupr_in += (recall_before - recall) * precision
        recall_before = recall
    aupr_in += recall * precision
    aupr_out, recall_before = 0.0, 1.0
    for delta in np.arange(end, start, -gap):
        fp, tp = np.sum(x < delta) / len(x), np.sum(y < delta) / len(y)
        if tp + fp == 0:
            break
        precision, recall = tp / (tp + fp), tp
        aupr_out += (recall_before - recall) * precision
        recall_before = recall
    aupr_out += recall * precision
    without = 1.0 if convention == "ccag" else math.nan
    return {
        "fpr95": fpr_sum / total if total else without,
        "auroc": float(area),
        "detection_error": float(error),
        "aupr_in": float(aupr_in),
        "aupr_out": float(aupr_out),
    }


def same(found: Metrics, expected: dict[str, float]) -> None:
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, rel=0, abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize(
    "steps", [300, 3000]
)  # fewer and more steps than scores: both ways of searching
@pytest.mark.parametrize("ties", [False, True])
def test_legacy_numbers_are_those_of_the_loops(ties: bool, steps: int) -> None:
    inside, outside = samples(ties)
    same(legacy.ccag(rank(inside, outside), steps), loop(inside, outside, steps, "ccag"))
    for score_range in (
        None,
        (-0.5, 1.5),
        (-9.0, 9.0),
    ):  # its own, cutting scores off, and wider than the scores
        found = legacy.odin(rank(inside, outside), score_range, steps)
        same(found, loop(inside, outside, steps, "odin", score_range))
        assert math.isnan(found.threshold)


@settings(max_examples=40, deadline=None)
@given(tied, tied)
def test_legacy_numbers_with_scores_that_lie_on_steps(inside: Array, outside: Array) -> None:
    if len({*inside.tolist(), *outside.tolist()}) > 1:
        same(legacy.ccag(rank(inside, outside), 48), loop(inside, outside, 48, "ccag"))
        same(legacy.odin(rank(inside, outside), None, 48), loop(inside, outside, 48, "odin"))


def test_conventions_use_their_own_number_of_steps() -> None:
    inside, outside = samples()
    assert repr(measure(inside, outside, convention="ccag")) == repr(
        legacy.ccag(rank(inside, outside), 200_000)
    )
    found = measure(inside, outside, convention="odin", score_range=(-2.0, 2.0))
    assert repr(found) == repr(legacy.odin(rank(inside, outside), (-2.0, 2.0), 100_000))
    for convention in ("odin", "ccag"):  # no ties: nearly the exact one
        assert measure(inside, outside, convention=convention).auroc == pytest.approx(
            measure(inside, outside).auroc, abs=0.005
        )


def test_ties_at_full_confidence_cost_the_ccag_auroc_half_of_their_block() -> None:
    """Softmax scores tied at 1.0 for 79% of in and 61% of out: no step separates them."""
    rng = np.random.default_rng(0)
    inside = np.where(np.arange(1000) < 790, 1.0, rng.uniform(0.3, 1.0, 1000))
    outside = np.where(np.arange(1000) < 610, 1.0, rng.uniform(0.3, 1.0, 1000))
    exact, ccag, odin = (
        measure(-inside, -outside, convention=c) for c in ("exact", "ccag", "odin")
    )
    assert ccag.auroc == pytest.approx(exact.auroc - 0.79 * 0.61 / 2, abs=2e-3)
    assert odin.auroc == pytest.approx(
        exact.auroc + 0.79 * 0.61 / 2, abs=2e-3
    )  # adds the whole block
    assert exact.tie_share == pytest.approx(0.7)


def test_full_confidence_leaves_the_ccag_auroc_of_table_1() -> None:
    """79% of in and 61% of out at 1.0 and more of both within the last step below it: 60 turns into
    14."""
    rng = np.random.default_rng(0)
    inside = np.r_[np.ones(790), 1 - rng.uniform(0, 1e-7, 190), rng.uniform(0.3, 1, 20)]
    outside = np.r_[np.ones(610), 1 - rng.uniform(0, 1e-7, 250), rng.uniform(0.3, 1, 140)]
    exact, ccag = measure(-inside, -outside), measure(-inside, -outside, convention="ccag")
    assert exact.auroc == pytest.approx(0.602, abs=0.005)
    assert ccag.auroc == pytest.approx(0.137, abs=0.003)
    assert ccag.detection_error == pytest.approx(0.44, abs=0.01)


def test_fpr_is_1_where_no_ccag_step_has_a_tpr_near_95() -> None:
    inside = np.r_[np.zeros(50), np.ones(50)]
    assert measure(inside, np.r_[0.5, 2.0], convention="ccag").fpr95 == 1.0


def test_perfect_and_reversed_separation() -> None:
    low, high = np.arange(100.0), np.arange(100.0) + 1000
    perfect, reversed_ = measure(low, high), measure(high, low)
    assert (perfect.fpr95, perfect.auroc, perfect.aupr_in, perfect.aupr_out) == (0, 1, 1, 1)
    assert perfect.detection_error == pytest.approx(0.025)
    assert (reversed_.fpr95, reversed_.auroc) == (1, 0)
    assert metrics.detection_error(low, high) == pytest.approx(0.025)
    assert metrics.best_detection_error(low, high) == 0


@pytest.mark.parametrize("convention", ["exact", "seed", "seed_unthinned", "openood"])
def test_any_increasing_function_of_the_scores_changes_nothing(convention: str) -> None:
    inside, outside = samples()
    first = measure(inside, outside, convention=convention)
    second = measure(np.exp(inside) + 7, np.exp(outside) + 7, convention=convention)
    for name in ("fpr95", "detection_error", "auroc", "aupr_in", "aupr_out"):
        assert getattr(first, name) == pytest.approx(getattr(second, name)), name


def test_a_threshold_is_an_attained_score_and_accepts_at_least_the_share() -> None:
    found = measure(np.arange(1.0, 101.0), np.full(10, 95.0))
    assert (found.threshold, found.fpr95) == (95.0, 1.0)


@pytest.mark.parametrize("convention", CONVENTIONS + FORMER)
def test_single_scores_and_other_number_types(convention: str) -> None:
    found = measure(
        np.array([1], dtype=np.int32), np.array([2], dtype=np.float32), convention=convention
    )
    assert found.detection_error <= 1
    assert found.auroc in (0.0, 1.0)


def test_infinite_scores_are_the_most_out() -> None:
    assert measure([0.0, 1.0], [np.inf, 5.0]).auroc == 1.0
    assert measure([-np.inf, 1.0], [np.inf, np.inf]).tie_share == 0.5
    found = measure([-np.inf, -np.inf, 0.0, 3.0], [np.inf, np.inf, 3.0], tpr=0.5)
    assert (found.threshold, found.tie_share) == (-np.inf, 6 / 7)
    assert found.auroc == pytest.approx(11.5 / 12)
    for convention in ("odin", "ccag"):
        with pytest.raises(ValueError, match="need finite scores"):
            measure([0.0, 1.0], [np.inf, 5.0], convention=convention)


def test_all_scores_equal() -> None:
    assert measure([1.0, 1.0], [1.0]).auroc == 0.5
    ccag = measure(
        [1.0, 1.0], [1.0], convention="ccag"
    )  # no step between smallest and largest, so no number but the named one
    assert ccag.fpr95 == 1.0
    assert all(
        math.isnan(value)
        for value in (ccag.auroc, ccag.aupr_in, ccag.aupr_out, ccag.detection_error)
    )


@pytest.mark.parametrize(
    ("inside", "outside", "words"),
    [
        ([], [1.0], "at least one score"),
        ([1.0], [], "at least one score"),
        ([[1.0]], [1.0], "shape"),
        ([math.nan], [1.0], "NaN"),
        (["a"], [1.0], "expected numbers"),
    ],
)
def test_unusable_scores_are_named(inside: list[float], outside: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        measure(inside, outside)


def test_unknown_conventions_and_shares_are_named() -> None:
    with pytest.raises(ValueError, match="convention 'mean' is unknown"):
        measure([1.0], [2.0], convention="mean")
    with pytest.raises(ValueError, match="TPR of 95"):
        measure([1.0], [2.0], tpr=95)
    with pytest.raises(ValueError, match="defined at 0.95"):
        measure([1.0], [2.0], tpr=0.9, convention="ccag")
    with pytest.raises(ValueError, match="only 'odin'"):
        measure([1.0], [2.0], score_range=(0, 1))
    with pytest.raises(ValueError, match="lower end first"):
        measure([1.0], [2.0], convention="odin", score_range=(1, 0))


def test_the_share_asked_for_is_reached_and_no_more() -> None:
    for count in (1, 7, 20, 99, 100, 1000, 19_999, 10**8):
        n = needed(0.95, count)
        assert n / count >= 0.95
        assert n == 1 or (n - 1) / count < 0.95


extreme = st.sampled_from(
    [
        0.0,
        -0.0,
        5e-324,
        -5e-324,
        1e-310,
        1.0,
        1.0 + 2**-52,
        1.0 + 2**-51,
        -1.0,
        1.75,
        3.5,
        1e154,
        1e300,
        -1e300,
        1.7976931348623157e308,
        2.0**512,
        math.inf,
        -math.inf,
    ]
)
extremes = st.lists(extreme, min_size=1, max_size=12).map(np.array)


@settings(max_examples=150, deadline=None)
@given(extremes, extremes)
def test_scores_of_any_size_keep_their_order_and_their_ties(inside: Array, outside: Array) -> None:
    found, expected = measure(inside, outside), slow(inside, outside)
    for name in ("fpr95", "auroc", "aupr_in", "aupr_out", "threshold"):
        assert getattr(found, name) == pytest.approx(expected[name], rel=0, abs=1e-12), name
    for sorted_, scores in zip(rank(inside, outside).scores(), (inside, outside), strict=True):
        assert sorted_.tolist() == sorted(scores.tolist())


@settings(max_examples=60, deadline=None)
@given(tied, tied, st.integers(1, 5))
def test_blocks_make_no_difference(inside: Array, outside: Array, block: int) -> None:
    """Groups of equal scores that end in, fill, or run over the blocks that are looked at
    together."""
    conventions = ("exact", "seed", "seed_unthinned", "openood")
    whole = [measure(inside, outside, convention=convention) for convention in conventions]
    best = metrics.best_detection_error(inside, outside)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "BLOCK", block)
        for convention, expected in zip(conventions, whole, strict=True):
            found = measure(inside, outside, convention=convention)
            for name in Metrics.__slots__:
                assert getattr(found, name) == pytest.approx(
                    getattr(expected, name), rel=0, abs=1e-12
                ), name
        assert metrics.best_detection_error(inside, outside) == best


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int16, np.int64, bool])
def test_every_number_type_counts_as_its_values(dtype: type) -> None:
    inside, outside = (np.round(scores * 2).astype(dtype) for scores in samples())
    for convention in CONVENTIONS + FORMER:
        found = measure(inside, outside, convention=convention)
        assert repr(found) == repr(
            measure(inside.astype(np.float64), outside.astype(np.float64), convention=convention)
        )


def test_float32_scores_keep_their_last_bit() -> None:
    one = np.float32(1)
    after = np.nextafter(one, np.float32(2))
    assert measure(np.array([one]), np.array([after])).auroc == 1.0
    assert measure(np.array([after]), np.array([one, after])).auroc == 0.25
    tiny, huge = np.float32(1e-44), np.float32(3e38)
    assert (
        measure(np.array([tiny, 0], np.float32), np.array([tiny, huge], np.float32)).auroc == 0.875
    )


def test_the_input_is_left_as_it_was() -> None:
    inside, outside = samples()
    copies = inside.copy(), outside.copy()
    measure(inside, outside[::-1])
    assert (inside == copies[0]).all()
    assert (outside == copies[1]).all()
