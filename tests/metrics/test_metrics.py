"""Every metric against its definition by brute force, scikit-learn as a second opinion, and the released programs' loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from knowbound import metrics
from knowbound.metrics import CONVENTIONS, legacy, measure

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
    return {"fpr95": fpr, "detection_error": 0.5 * (1 - tpr) + 0.5 * fpr, "auroc": sum(pairs) / len(pairs),
            "aupr_in": aupr_in, "aupr_out": aupr_out, "best": best, "threshold": threshold}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.tuples(tied, tied), st.tuples(continuous, continuous)))
def test_exact_metrics_are_their_definitions(pair: tuple[Array, Array]) -> None:
    inside, outside = pair
    found, expected = measure(inside, outside), slow(inside, outside)
    for name in ("fpr95", "detection_error", "auroc", "aupr_in", "aupr_out", "threshold"):
        assert getattr(found, name) == pytest.approx(expected[name], abs=1e-12), name
    assert metrics.best_detection_error(inside, outside) == pytest.approx(expected["best"], abs=1e-12)
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
    found, seed = measure(inside, outside), measure(inside, outside, convention="seed")
    assert found.auroc == pytest.approx(roc_auc_score(is_in, -scores))
    assert found.aupr_in == pytest.approx(average_precision_score(is_in, -scores))
    assert found.aupr_out == pytest.approx(average_precision_score(1 - is_in, scores))
    fpr, tpr, _ = roc_curve(is_in, -scores, drop_intermediate=False)
    nearest = np.abs(tpr - 0.95).argmin()
    assert seed.fpr95 == pytest.approx(fpr[nearest])
    assert seed.detection_error == pytest.approx(0.5 * (1 - tpr[nearest]) + 0.5 * fpr[nearest])
    for name, truth, score in (("aupr_in", is_in, -scores), ("aupr_out", 1 - is_in, scores)):
        precision, recall, _ = precision_recall_curve(truth, score)
        assert getattr(seed, name) == pytest.approx(auc(recall, precision)), name


def loop(inside: Array, outside: Array, steps: int, low: float, high: float, last_block: bool) -> dict[str, float]:
    """What the released programs do, one threshold at a time, on confidences (minus our scores)."""
    x, y = -inside, -outside
    end, start = max(x.max(), y.max()), min(x.min(), y.min())
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
    if last_block:
        area += fpr * tpr

    def aupr(deltas: Array, positives: str) -> float:
        value, before = 0.0, 1.0
        for delta in deltas:
            if positives == "in":
                tp, fp = np.sum(x >= delta) / len(x), np.sum(y >= delta) / len(y)
            else:
                tp, fp = np.sum(y < delta) / len(y), np.sum(x < delta) / len(x)
            if tp + fp == 0:
                continue
            value += (before - tp) * tp / (tp + fp)
            before, precision = tp, tp / (tp + fp)
        return float(value + before * precision)

    return {"fpr95": fpr_sum / total if total else math.nan, "auroc": area, "detection_error": error,
            "aupr_in": aupr(np.arange(start, end, gap), "in"), "aupr_out": aupr(np.arange(end, start, -gap), "out")}  # fmt: skip


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("last_block", [False, True])
def test_legacy_numbers_are_those_of_the_loops(ties: bool, last_block: bool) -> None:
    inside, outside = samples(ties)
    low, high = (0.9495, 0.9505) if last_block else (0.94, 0.96)
    expected = loop(inside, outside, 2000, low, high, last_block)
    steps = legacy.step(inside, outside, 2000, None)
    found = {
        "fpr95": legacy.mean_fpr(steps, low, high, math.nan), "auroc": legacy.auroc(steps, last_block=last_block),
        "detection_error": legacy.best_detection_error(steps), "aupr_in": legacy.aupr_in(steps), "aupr_out": legacy.aupr_out(steps),
    }  # fmt: skip
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12, nan_ok=True), name


def test_conventions_use_their_own_number_of_steps_and_limits() -> None:
    inside, outside = samples()
    for convention, count, low, high, last in (("odin", 100_000, 0.9495, 0.9505, True), ("ccag", 200_000, 0.94, 0.96, False)):
        steps = legacy.step(inside, outside, count, None)
        found = measure(inside, outside, convention=convention)
        assert found.fpr95 == legacy.mean_fpr(steps, low, high, math.nan)
        assert found.auroc == legacy.auroc(steps, last_block=last)
        assert found.auroc == pytest.approx(measure(inside, outside).auroc, abs=0.005)  # no ties: nearly the exact one


def test_ties_at_full_confidence_cost_the_ccag_auroc_half_of_their_block() -> None:
    """Softmax scores tied at 1.0 for 79% of in and 61% of out: no step separates them."""
    rng = np.random.default_rng(0)
    inside = np.where(np.arange(1000) < 790, 1.0, rng.uniform(0.3, 1.0, 1000))
    outside = np.where(np.arange(1000) < 610, 1.0, rng.uniform(0.3, 1.0, 1000))
    exact, ccag, odin = (measure(-inside, -outside, convention=c) for c in ("exact", "ccag", "odin"))
    assert ccag.auroc == pytest.approx(exact.auroc - 0.79 * 0.61 / 2, abs=2e-3)
    assert odin.auroc == pytest.approx(exact.auroc + 0.79 * 0.61 / 2, abs=2e-3)  # adds the whole block
    assert exact.tie_share == pytest.approx(0.7)


def test_fpr_is_1_where_no_ccag_step_has_a_tpr_near_95() -> None:
    inside = np.r_[np.zeros(50), np.ones(50)]
    assert measure(inside, np.r_[0.5, 2.0], convention="ccag").fpr95 == 1.0


def test_openood_turns_the_classes_around() -> None:
    inside, outside = samples()
    found = measure(inside, outside, convention="openood")
    threshold = max(t for t in outside if np.mean(outside >= t) >= 0.95)
    assert found.fpr95 == np.mean(inside >= threshold)
    assert found.fpr95 != measure(inside, outside).fpr95
    assert found.auroc == measure(inside, outside).auroc


def test_perfect_and_reversed_separation() -> None:
    low, high = np.arange(100.0), np.arange(100.0) + 1000
    perfect, reversed_ = measure(low, high), measure(high, low)
    assert (perfect.fpr95, perfect.auroc, perfect.aupr_in, perfect.aupr_out) == (0, 1, 1, 1)
    assert perfect.detection_error == pytest.approx(0.025)
    assert (reversed_.fpr95, reversed_.auroc) == (1, 0)
    assert metrics.detection_error(low, high) == pytest.approx(0.025)
    assert metrics.best_detection_error(low, high) == 0


@pytest.mark.parametrize("convention", ["exact", "seed", "openood"])
def test_any_increasing_function_of_the_scores_changes_nothing(convention: str) -> None:
    inside, outside = samples()
    first = measure(inside, outside, convention=convention)
    second = measure(np.exp(inside) + 7, np.exp(outside) + 7, convention=convention)
    for name in ("fpr95", "detection_error", "auroc", "aupr_in", "aupr_out"):
        assert getattr(first, name) == pytest.approx(getattr(second, name)), name


def test_a_threshold_is_an_attained_score_and_accepts_at_least_the_share() -> None:
    found = measure(np.arange(1.0, 101.0), np.full(10, 95.0))
    assert (found.threshold, found.fpr95) == (95.0, 1.0)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_single_scores_and_other_number_types(convention: str) -> None:
    found = measure(np.array([1], dtype=np.int32), np.array([2], dtype=np.float32), convention=convention)
    assert found.detection_error <= 1
    assert found.auroc in (0.0, 1.0)


def test_infinite_scores_are_the_most_out() -> None:
    assert measure([0.0, 1.0], [np.inf, 5.0]).auroc == 1.0
    assert measure([-np.inf, 1.0], [np.inf, np.inf]).tie_share == 0.5
    with pytest.raises(ValueError, match="need finite scores"):
        measure([0.0, 1.0], [np.inf, 5.0], convention="ccag")


def test_all_scores_equal() -> None:
    assert measure([1.0, 1.0], [1.0]).auroc == 0.5
    assert measure([1.0, 1.0], [1.0], convention="ccag").fpr95 == 1.0


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
