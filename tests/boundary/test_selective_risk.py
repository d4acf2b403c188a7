"""The threshold at which accepted images have the right class."""

import numpy as np
import pytest
from scipy.stats import beta

from knowbound.boundary.selective_risk import ErrorNotKept, threshold_for_error
from knowbound.errors import UserError


def test_the_bound_is_that_of_clopper_and_pearson_and_the_counts_are_right() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=3000)
    correct = rng.uniform(size=3000) > 0.2 * (scores > 1.5)
    found = threshold_for_error(scores, correct, 0.01)
    accepted = scores <= found.threshold
    assert (found.accepted, found.errors) == (accepted.sum(), (~correct[accepted]).sum())
    doubt = 0.05 / len(np.unique(scores)).bit_length()
    expected = beta.ppf(1 - doubt, found.errors + 1, found.accepted - found.errors)
    assert found.error_bound == pytest.approx(expected)
    assert found.error_bound <= 0.01


def test_the_error_of_new_images_is_kept_with_the_confidence() -> None:
    kept = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        scores = rng.uniform(size=20000)
        found = threshold_for_error(scores, rng.uniform(size=20000) > 0.1 * scores**2, 0.02)
        kept.append(0.1 * found.threshold**2 / 3 <= 0.02)  # the mean error below the threshold
    assert np.mean(kept) >= 0.95


def test_what_cannot_be_kept_is_one_sentence() -> None:
    with pytest.raises(UserError, match="no threshold keeps the error.*give more images"):
        threshold_for_error(np.arange(50.0), np.ones(50, bool), 0.001)


def test_a_threshold_above_which_nothing_is_accepted() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=2000)
    correct = rng.uniform(size=2000) > 0.5 * (scores > 1)
    free = threshold_for_error(scores, correct, 0.02)
    assert threshold_for_error(scores, correct, 0.02, at_most=5.0).threshold < 5
    lower = threshold_for_error(scores, correct, 0.02, at_most=0.3)
    assert lower.threshold == 0.3 < free.threshold  # all below may be accepted, as few are wrong
    assert lower.accepted == (scores <= 0.3).sum()
    with pytest.raises(ErrorNotKept, match="of 0 held-out images that could be accepted"):
        threshold_for_error(scores, correct, 0.02, at_most=-9.0)
