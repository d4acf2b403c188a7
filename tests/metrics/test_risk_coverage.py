"""The risk-coverage curve, threshold by threshold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowbound.metrics.risk_coverage import risk_coverage

ANSWERS = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=25)


@given(ANSWERS)
def test_against_a_loop_over_thresholds(answers: list[tuple[int, bool]]) -> None:
    scores, correct = (np.array(column) for column in zip(*answers, strict=True))
    found = risk_coverage(scores, correct)
    for threshold, coverage, risk in zip(found.thresholds, found.coverage, found.risk, strict=True):
        accepted = [right for score, right in answers if score <= threshold]
        assert coverage == pytest.approx(len(accepted) / len(answers))
        assert risk == pytest.approx(1 - sum(accepted) / len(accepted))


def test_the_area_without_ties_is_the_mean_of_the_risks() -> None:
    rng = np.random.default_rng(0)
    scores, correct = rng.permutation(50).astype(float), rng.uniform(size=50) > 0.3
    order = np.argsort(scores)
    risks = [1 - correct[order][:n].mean() for n in range(1, 51)]
    found = risk_coverage(scores, correct)
    assert found.area == pytest.approx(np.mean(risks))
    assert found.least_area <= found.area
    perfect = risk_coverage(np.where(correct, 0.0, 1.0) + scores / 100, correct)
    assert perfect.area == pytest.approx(perfect.least_area)
