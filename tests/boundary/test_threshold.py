"""The promise: against the definition with loops, and by simulation."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from knowbound.boundary.conformal import least_groups
from knowbound.boundary.selective_risk import ErrorNotKept, least_accepted
from knowbound.boundary.threshold import Threshold
from knowbound.errors import UserError

Array = NDArray[np.float64]


def fitted(
    scores: Array,
    nearest: NDArray[np.int64] | None = None,
    groups: NDArray[np.int64] | None = None,
    classes: int = 1,
    **options: object,
) -> Threshold:
    classes_of = np.zeros(len(scores), np.int64) if nearest is None else nearest
    return Threshold(classes).fit(
        torch.from_numpy(scores),
        torch.from_numpy(classes_of),
        groups,
        **options,  # type: ignore[arg-type]
    )


def p_of(threshold: Threshold, scores: Array, nearest: NDArray[np.int64] | None = None) -> Array:
    classes = np.zeros(len(scores), np.int64) if nearest is None else nearest
    return threshold.p_value(torch.from_numpy(scores), torch.from_numpy(classes)).numpy()


def slow_p_value(score: float, held: Array, groups: NDArray[np.int64]) -> float:
    """(1 + the sum of each group's share of scores at least as high) / (G + 1)."""
    ids = sorted(set(groups.tolist()))
    shares = [
        sum(h >= score for h, g in zip(held, groups, strict=True) if g == i)
        / sum(g == i for g in groups)
        for i in ids
    ]
    return (1 + sum(shares)) / (len(ids) + 1)


@pytest.mark.parametrize("acceptance", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("n", [19, 20, 39, 57, 100])
def test_the_threshold_is_the_kth_smallest_score(acceptance: float, n: int) -> None:
    scores = np.random.default_rng(n).normal(size=n)
    k = math.ceil((n + 1) * acceptance - 1e-9)
    threshold = fitted(scores, acceptance=acceptance)
    assert threshold.threshold_of(torch.tensor([0])).item() == np.sort(scores)[k - 1]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("acceptance", [0.75, 0.9])
def test_p_values_are_their_definition_and_decide_as_the_threshold_does(
    ties: bool, grouped: bool, acceptance: float
) -> None:
    rng = np.random.default_rng(3)
    held, new = rng.normal(size=83), rng.normal(0.5, 2, size=300)
    if ties:
        held, new = held.round(1), new.round(1)
    groups = rng.integers(0, 29, 83) * 7 - 40 if grouped else np.arange(83)
    new = np.concatenate([new, held, [math.inf, -math.inf]])
    threshold = fitted(held, groups=groups, acceptance=acceptance)
    expected = np.array([slow_p_value(s, held, groups) for s in new])
    found = p_of(threshold, new)
    assert found == pytest.approx(expected, abs=1e-12)
    known = threshold.accepts(torch.from_numpy(new), torch.zeros(len(new), dtype=torch.int64))
    assert ((found > 1 - acceptance) == known.numpy()).all()
    assert ((expected > 1 - acceptance + 1e-9) == known.numpy()).all()
    assert 0 < known.double().mean() < 1


def test_a_score_that_is_no_number_is_never_known() -> None:
    threshold = fitted(np.arange(100.0))
    assert p_of(threshold, np.array([math.nan]))[0] == pytest.approx(1 / 101)
    assert not threshold.accepts(torch.tensor([math.nan]), torch.tensor([0])).any()
    assert not Threshold(2).accepts(torch.tensor([-9.0]), torch.tensor([1])).any()


@pytest.mark.parametrize("confidence", [None, 0.9, 0.95])
def test_the_promise_is_kept_on_average_or_with_the_confidence(confidence: float | None) -> None:
    rng, kept, inside, chosen = np.random.default_rng(0), [], [], []
    for _ in range(1000):
        threshold = fitted(rng.random(137), acceptance=0.9, confidence=confidence)
        acceptance = float(threshold.thresholds)  # of uniform scores
        low, high = threshold.range()
        chosen.append(acceptance)
        kept.append(acceptance >= 0.9)
        inside.append(low <= acceptance <= high)
    # four standard errors of 1,000 draws
    assert np.mean(inside) == pytest.approx(0.95, abs=0.028)
    if confidence is None:
        k = math.ceil(138 * 0.9)
        assert np.mean(chosen) == pytest.approx(k / 138, abs=0.0035)
    else:
        position = float(threshold.positions[0, 0])
        exact = stats.beta.sf(0.9, position, 138 - position)
        assert exact >= confidence > stats.beta.sf(0.9, position - 1, 139 - position)
        assert np.mean(kept) == pytest.approx(exact, abs=0.04)


def tracks(
    rng: np.random.Generator, count: int, alike: float
) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
    """Scores of ``count`` tracks of 1 to 23 frames, correlated by ``alike`` within a track; each
    score has a normal distribution."""
    sizes = rng.integers(1, 24, count)
    groups = np.repeat(np.arange(count), sizes)
    own = rng.normal(size=len(groups))
    scores = math.sqrt(alike) * rng.normal(size=count)[groups] + math.sqrt(1 - alike) * own
    return scores, groups, sizes


@pytest.mark.parametrize("alike", [0.0, 0.7, 1.0])
def test_tracks_keep_the_promise_and_lie_in_the_range(alike: float) -> None:
    rng, chosen, inside, plain = np.random.default_rng(1), [], [], []
    for _ in range(400):
        scores, groups, _ = tracks(rng, 45, alike)
        threshold = fitted(scores, groups=groups, acceptance=0.9)
        acceptance = float(stats.norm.cdf(threshold.thresholds.item()))
        low, high = threshold.range()
        chosen.append(acceptance)
        inside.append(low <= acceptance <= high)
        single = fitted(scores, acceptance=0.9)
        low, high = single.range()
        plain.append(low <= float(stats.norm.cdf(single.thresholds.item())) <= high)
    assert np.mean(chosen) > 0.9 - 0.004
    assert np.mean(inside) > 0.93
    if alike == 1.0:  # as if each track were one image
        assert np.mean(inside) == pytest.approx(0.95, abs=0.044)
        assert np.mean(chosen) == pytest.approx(math.ceil(46 * 0.9) / 46, abs=0.009)
    if alike > 0:  # frames taken for images of their own: the range is wrong
        assert np.mean(plain) < 0.8


def test_long_tracks_do_not_outvote_short_ones() -> None:
    rng, chosen = np.random.default_rng(2), []
    for _ in range(400):
        long = rng.random(60) < 0.3
        sizes = np.where(long, 20, 1)
        level = np.where(long, 0.0, 1.0) + 0.01 * rng.random(60)  # long ones are easy
        groups = np.repeat(np.arange(60), sizes)
        threshold = fitted(level[groups], groups=groups, acceptance=0.8).thresholds.item()
        chosen.append(0.3 * (threshold > 0.01) + 0.7 * np.clip((threshold - 1) / 0.01, 0, 1))
    assert np.mean(chosen) == pytest.approx(math.ceil(61 * 0.8) / 61, abs=0.01)


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_confidence_holds_for_tracks(alike: float) -> None:
    rng, kept = np.random.default_rng(5), []
    for _ in range(300):
        scores, groups, _ = tracks(rng, 80, alike)
        threshold = fitted(scores, groups=groups, acceptance=0.9, confidence=0.9)
        kept.append(stats.norm.cdf(threshold.thresholds.item()) >= 0.9)
    assert np.mean(kept) > 0.9 - 0.02


@pytest.mark.parametrize(
    ("acceptance", "confidence", "least"),
    [(0.95, None, 19), (0.9, None, 9), (0.5, None, 1), (0.95, 0.95, 59), (0.99, 0.9, 230)],
)
def test_the_least_number_is_enough_and_one_fewer_is_not(
    acceptance: float, confidence: float | None, least: int
) -> None:
    assert least_groups(acceptance, confidence) == least
    scores = np.arange(least, dtype=np.float64)
    options = {"acceptance": acceptance, "confidence": confidence}
    assert float(fitted(scores, **options).thresholds) == pytest.approx(
        scores[math.ceil((least + 1) * acceptance - 1e-9) - 1] if confidence is None else scores[-1]
    )
    with pytest.raises(UserError, match=f"expected at least {least} "):
        fitted(scores[1:], **options)
    if least == 1:
        return
    twice = np.repeat(scores[1:], 2)
    with pytest.raises(UserError, match=f"expected at least {least} groups"):
        fitted(twice, groups=np.repeat(np.arange(least - 1), 2), **options)


def test_the_acceptance_an_error_offers_can_be_had() -> None:
    for confidence in (None, 0.95):
        with pytest.raises(UserError) as caught:
            fitted(np.arange(12.0), acceptance=0.95, confidence=confidence)
        offered = float(str(caught.value).rsplit(" ", 1)[1])
        assert offered > 0.7
        fitted(np.arange(12.0), acceptance=offered, confidence=confidence)


def test_each_class_keeps_the_promise_and_the_small_share_a_threshold() -> None:
    rng = np.random.default_rng(0)
    sizes, centres = np.array([60, 4, 12, 40, 9]), np.array([0.0, 5.0, 5.0, 2.0, 5.0])
    nearest = np.repeat(np.arange(5), sizes)
    accepted = []
    for _ in range(300):
        held = centres[nearest] + rng.random(len(nearest))
        threshold = fitted(held, nearest, classes=5, acceptance=0.9, by="class")
        accepted.append(np.clip(threshold.threshold_of(torch.arange(5)).numpy() - centres, 0, 1))
    assert threshold.pool.tolist() == [1, 0, 2, 3, 0]
    assert threshold.pooled_classes == (1, 4)
    ranks = [math.ceil((n + 1) * 0.9 - 1e-9) / (n + 1) for n in (60, 13, 12, 40, 13)]
    assert np.mean(accepted, axis=0) == pytest.approx(np.array(ranks), abs=0.015)
    assert "1, 4 share one threshold" in threshold.sentence()
    assert "b, e share one threshold" in threshold.sentence("abcde")
    one = fitted(held, nearest, classes=5, acceptance=0.9)
    hidden = one.acceptance_by_class(*(torch.from_numpy(a) for a in (held, nearest, nearest)))
    assert hidden.share[0] == 1.0
    assert one.pooled_classes == ()


def test_p_values_by_class_compare_with_the_own_class() -> None:
    rng = np.random.default_rng(1)
    nearest = rng.integers(0, 3, 150)
    held = rng.normal(size=150) + 10 * nearest
    groups = rng.integers(0, 90, 150)
    threshold = fitted(held, nearest, groups, classes=3, acceptance=0.8, by="class")
    new, to = rng.normal(size=60) * 12 + 10, rng.integers(0, 3, 60)
    expected = [
        slow_p_value(s, held[nearest == c], groups[nearest == c])
        for s, c in zip(new, to, strict=True)
    ]
    assert p_of(threshold, new, to) == pytest.approx(np.array(expected), abs=1e-12)


def test_the_range_over_classes_holds_for_the_whole() -> None:
    rng, inside = np.random.default_rng(4), []
    nearest = np.repeat(np.arange(3), [30, 60, 110])
    for _ in range(1000):
        threshold = fitted(rng.random(200), nearest, classes=3, acceptance=0.9, by="class")
        low, high = threshold.range()
        whole = np.average(threshold.threshold_of(torch.arange(3)).numpy(), weights=[30, 60, 110])
        inside.append(low <= whole <= high)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.028)


def test_equal_scores_widen_the_range_upwards() -> None:
    scores = np.r_[np.zeros(90), np.arange(1.0, 11.0)]
    low, high = fitted(scores, acceptance=0.8).range()
    assert low == pytest.approx(stats.beta.ppf(0.025, 81, 20))
    assert high == pytest.approx(stats.beta.ppf(0.975, 90, 11))


def test_classes_that_are_rejected_are_named() -> None:
    threshold = fitted(np.arange(100.0), classes=4, acceptance=0.95)
    labels = np.repeat(np.arange(3), [50, 8, 1])
    scores = np.r_[np.zeros(48), 200.0, 200.0, np.full(7, 200.0), 0.0, 200.0]
    found = threshold.acceptance_by_class(
        torch.from_numpy(scores), torch.zeros(59, dtype=torch.int64), torch.from_numpy(labels)
    )
    assert found.groups.tolist() == [50, 8, 1, 0]
    assert found.share[:3] == pytest.approx([0.96, 1 / 8, 0.0])
    assert math.isnan(found.share[3])
    # one image of a class rejected shows nothing: that happens to one in twenty
    assert found.short.tolist() == [False, True, False, False]
    chances = [stats.binom.cdf(a, n, 0.95) for a, n in ((48, 50), (1, 8), (0, 1))]
    assert [c < 0.05 / 4 for c in chances] == found.short[:3].tolist()
    doubled = threshold.acceptance_by_class(
        torch.from_numpy(scores),
        torch.zeros(59, dtype=torch.int64),
        torch.from_numpy(labels),
        np.r_[np.arange(50), np.repeat([50, 51], 4), 52],
    )
    assert doubled.groups.tolist() == [50, 2, 1, 0]
    assert doubled.share[1] == pytest.approx(1 / 8)


def test_it_is_stored_whole() -> None:
    rng = np.random.default_rng(0)
    nearest = rng.integers(0, 4, 200)
    groups = rng.integers(0, 120, 200)
    one = fitted(
        rng.normal(size=200), nearest, groups, classes=4, acceptance=0.8, by="class", confidence=0.9
    )
    other = Threshold(4)
    for name, tensor in one.state_dict().items():
        other.register_buffer(name, torch.empty_like(tensor))
    other.load_state_dict(one.state_dict())
    new, to = rng.normal(size=50), rng.integers(0, 4, 50)
    assert (p_of(one, new, to) == p_of(other, new, to)).all()
    assert one.describe() == other.describe()
    assert other.describe()["confidence"] == 0.9
    assert other.describe()["images"] == 200


def test_the_promise_in_words() -> None:
    scores = np.random.default_rng(0).normal(size=412)
    groups = np.arange(412) % 97
    threshold = fitted(scores, groups=groups)
    low, high = threshold.describe()["range"]
    assert threshold.sentence() == (
        f"between {math.floor(low * 1000) / 10}% and {math.ceil(high * 1000) / 10}% of new known "
        "images will be accepted (412 held-out images in 97 groups)"
    )
    stated = fitted(scores, confidence=0.95).sentence()
    assert stated.endswith("(412 held-out images), with a confidence of 95% at least 95%")


def test_it_is_plain_tensor_operations() -> None:
    rng = np.random.default_rng(0)
    threshold = fitted(rng.normal(size=300), rng.integers(0, 3, 300), classes=3, by="class")

    class Judged(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.threshold = threshold

        def forward(self, scores: torch.Tensor, nearest: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (
                self.threshold.p_value(scores, nearest),
                self.threshold.accepts(scores, nearest),
            )

    given = torch.randn(7, dtype=torch.float64), torch.randint(0, 3, (7,))
    program = torch.export.export(Judged(), given).module()
    for found, expected in zip(program(*given), Judged()(*given), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"acceptance": 1.0}, "an acceptance of 1.0"),
        ({"confidence": 0.0}, "a confidence of 0.0"),
        ({"by": "group"}, "expected all or class"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], match: str) -> None:
    with pytest.raises(UserError, match=match):
        fitted(np.arange(100.0), **options)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="2 of 100 held-out images have no number"):
        fitted(np.r_[np.arange(98.0), math.nan, math.nan])
    with pytest.raises(ValueError, match="expected 0..0"):
        fitted(np.arange(100.0), np.ones(100, np.int64))
    with pytest.raises(ValueError, match="no p-value yet"):
        p_of(Threshold(1), np.zeros(3))


def with_error(seed: int, images: int = 3000, max_error: float = 0.03) -> tuple[Threshold, float]:
    """A threshold that was lowered, and the mean error of what it accepts: the chance of a wrong
    class grows with the score, s^4 / 4, on scores that lie evenly in 0..1."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(size=images)
    correct = torch.from_numpy(rng.uniform(size=images) > scores**4 / 4)
    found = fitted(scores, max_error=max_error, correct=correct)
    accepted = float(found.thresholds[0])
    return found, accepted**4 / 20


def test_the_largest_error_is_kept_with_the_confidence_and_the_range_holds() -> None:
    kept, inside = [], []
    for seed in range(200):
        found, error = with_error(seed)
        assert found.lowered
        low, high = found.describe()["range"]
        kept.append(error <= 0.03)
        inside.append(low <= float(found.thresholds[0]) <= high)
    assert np.mean(kept) >= 0.95
    assert np.mean(inside) >= 0.95


@pytest.mark.parametrize("grouped", [False, True])
def test_a_lowered_threshold_and_its_p_values_decide_alike(grouped: bool) -> None:
    rng = np.random.default_rng(3)
    scores = np.round(rng.uniform(size=1500), 3)  # with ties
    correct = rng.uniform(size=1500) > scores**4 / 4
    groups = np.arange(1500) // 2 if grouped else np.arange(1500)
    found = fitted(scores, groups=groups, max_error=0.03, correct=torch.from_numpy(correct))
    plain = fitted(scores, groups=groups)
    assert found.lowered
    threshold = float(found.thresholds[0])
    assert threshold < float(plain.thresholds[0])
    new = np.append(rng.uniform(size=400), scores)
    p_values = p_of(found, new)
    np.testing.assert_array_equal(p_values > float(found.levels[0]), new <= threshold)
    np.testing.assert_allclose(p_values, p_of(plain, new))
    slow = [np.mean(scores[groups == g] <= threshold) for g in range(groups.max() + 1)]
    assert float(found.positions[0, 1]) == pytest.approx(sum(slow))
    first = np.unique(groups, return_index=True)[1]
    accepted = first[scores[first] <= threshold]
    facts = found.describe()["error"]
    assert (facts["accepted"], facts["wrong"]) == (len(accepted), (~correct[accepted]).sum())
    assert facts["acceptance_lowered"]
    said = found.sentence()
    assert "with a confidence of 95% at most 3% of the accepted ones will have the wrong" in said
    assert "fewer are accepted than the 95% asked for" in said


def test_the_threshold_stays_where_the_error_is_kept_anyway() -> None:
    scores = np.random.default_rng(0).normal(size=800)
    right = torch.ones(800, dtype=torch.bool)
    found, plain = fitted(scores, max_error=0.01, correct=right), fitted(scores)
    assert not found.lowered
    assert torch.equal(found.thresholds, plain.thresholds)
    assert found.describe()["range"] == plain.describe()["range"]
    assert found.max_error == 0.01
    assert found.fit(*map(torch.from_numpy, (scores, np.zeros(800, np.int64)))).max_error is None


def test_an_error_that_cannot_be_kept_leaves_the_threshold_as_it_was() -> None:
    rng = np.random.default_rng(0)
    scores, wrong = torch.from_numpy(rng.normal(size=800)), torch.zeros(800, dtype=torch.bool)
    nearest = torch.zeros(800, dtype=torch.int64)
    found = Threshold(1).fit(scores, nearest, acceptance=0.8)
    before = {name: value.clone() for name, value in found.state_dict().items()}
    with pytest.raises(ErrorNotKept):
        found.fit(scores + 1, nearest, acceptance=0.9, max_error=0.1, correct=wrong)
    for name, value in found.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("confidence", [None, 0.9])
@pytest.mark.parametrize("max_error", [0.2, 0.05, 0.01])
def test_the_fewest_images_that_can_show_an_error(
    max_error: float, confidence: float | None
) -> None:
    least = least_groups(0.95, confidence, max_error)

    def can(images: int) -> bool:
        scores = np.arange(images, dtype=np.float64)
        right = torch.ones(images, dtype=torch.bool)
        try:
            fitted(scores, max_error=max_error, correct=right, confidence=confidence)
        except ErrorNotKept:
            return False
        return True

    assert can(least)
    plain = least_groups(0.95, confidence)
    assert least == plain or not can(least - 1)
    assert least_groups(0.95, None, 0.001) > least_accepted(0.001, 0.95, 1) > 1 / 0.001


def test_an_error_that_cannot_be_promised() -> None:
    scores, right = np.arange(100.0), torch.ones(100, dtype=torch.bool)
    with pytest.raises(UserError, match="a largest error of 1.5"):
        fitted(scores, max_error=1.5, correct=right)
    with pytest.raises(UserError, match="together with a threshold for each class"):
        fitted(scores, max_error=0.1, correct=right, by="class")


@pytest.mark.parametrize("confidence", [None, 0.9])
@pytest.mark.parametrize("by", ["all", "class"])
@pytest.mark.parametrize("grouped", [False, True])
def test_an_adjusted_threshold_is_the_one_fitted_so(
    grouped: bool, by: str, confidence: float | None
) -> None:
    rng = np.random.default_rng(2)
    scores, nearest = np.round(rng.normal(size=900), 2), rng.integers(0, 3, 900)
    groups = rng.integers(0, 200, 900) if grouped else None
    given = {"nearest": nearest, "groups": groups, "classes": 3, "by": by}
    adjusted = fitted(scores, **given, acceptance=0.9)  # type: ignore[arg-type]
    adjusted.adjust(0.8, confidence)
    expected = fitted(scores, **given, acceptance=0.8, confidence=confidence)  # type: ignore[arg-type]
    for name, value in expected.state_dict().items():
        np.testing.assert_allclose(adjusted.get_buffer(name), value, err_msg=name)
    assert adjusted.sentence() == expected.sentence()


def test_an_acceptance_that_the_held_out_images_cannot_promise_is_refused() -> None:
    found = fitted(np.arange(60.0))
    with pytest.raises(UserError, match="expected at least 99 for an acceptance of 0.99"):
        found.adjust(0.99)
    with pytest.raises(UserError, match="an acceptance of 1.2"):
        found.adjust(1.2)
