"""Benjamini and Hochberg's procedure, step by step, and what it promises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from knowbound.errors import UserError
from knowbound.judgement import Verdict
from knowbound.judgement.false_discovery import novelties_at_fdr, verdicts_at_fdr
from knowbound.labels import Decision


def literal(p_values: list[float], fdr: float) -> list[bool]:
    ordered, largest = sorted(p_values), -1.0
    for i, p in enumerate(ordered, 1):
        if p <= fdr * i / len(ordered) + 1e-12:
            largest = p
    return [p <= largest for p in p_values]


@given(st.lists(st.integers(0, 40).map(lambda n: n / 40), max_size=30), st.floats(0.01, 0.9))
def test_against_the_steps(p_values: list[float], fdr: float) -> None:
    assert novelties_at_fdr(p_values, fdr).tolist() == literal(p_values, fdr)


def test_few_of_those_called_unknown_are_known() -> None:
    false = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        held, known, unknown = rng.normal(size=400), rng.normal(size=80), rng.normal(4, 1, size=40)
        new = np.concatenate([known, unknown])
        p = (1 + (held[None] >= new[:, None]).sum(1)) / 401
        called = novelties_at_fdr(p, 0.1)
        false.append(called[:80].sum() / max(called.sum(), 1))
        assert called[80:].mean() > 0.5
    assert np.mean(false) <= 0.1


def test_the_decisions_are_those_of_scipy() -> None:
    """Adjusted p-values at most the rate: what the examples of the package nonconform decide by."""
    rng = np.random.default_rng(5)
    held, new = rng.normal(size=99), np.append(rng.normal(size=30), rng.normal(3, 1, size=10))
    p = (1 + (held[None] >= new[:, None]).sum(1)) / 100
    for fdr in (0.01, 0.05, 0.1, 0.3):
        expected = false_discovery_control(p, method="bh") <= fdr + 1e-12
        assert novelties_at_fdr(p, fdr).tolist() == expected.tolist()


def said(score: float, p_value: float, domain: float = 0.0, threshold: float = 2.0) -> Verdict:
    known = score <= threshold
    return Verdict(
        Decision.KNOWN if known else Decision.NOVELTY,
        "a" if known else None,
        "a",
        score,
        threshold,
        p_value,
        domain,
    )


def test_a_batch_is_decided_together_and_each_row_stays_true() -> None:
    rng = np.random.default_rng(1)
    scores = np.append(rng.normal(size=60), rng.normal(5, 2, size=60))
    p = np.clip(1 - scores / 4, 0.01, 1)
    domain, own = rng.normal(size=120), rng.choice([1.0, 2.0], 120)  # two classes, two thresholds
    batch = [said(*row) for row in zip(scores, p, domain, own, strict=True)]
    decided = verdicts_at_fdr(batch, 0.2, 0.5)
    expected = literal(p.tolist(), 0.2)
    assert 0 < sum(expected) < 120
    for unknown, before, after in zip(expected, batch, decided, strict=True):
        assert (after.decision != Decision.KNOWN) == unknown == (after.score > after.threshold)
        assert (after.class_name is None) == unknown
        if unknown:
            assert (after.decision == Decision.ANOMALY) == (before.domain_score > 0.5)
    assert any(d.decision != b.decision for b, d in zip(batch, decided, strict=True))


def test_degenerate_batches() -> None:
    assert verdicts_at_fdr([], 0.1, 0.0) == []
    (surely,) = verdicts_at_fdr([said(9.0, 0.01)], 0.1, 0.0)
    assert surely.decision == Decision.NOVELTY
    assert surely.score > surely.threshold
    strange, plain = verdicts_at_fdr([said(np.nan, 0.2), said(1.0, 0.9)], 0.1, 0.0)
    assert (strange.decision, plain.decision) == (Decision.NOVELTY, Decision.KNOWN)
    (unsure,) = verdicts_at_fdr([said(3.0, 0.2)], 0.1, 0.0)  # rejected alone, but not at this rate
    assert (unsure.decision, unsure.class_name, unsure.threshold) == (Decision.KNOWN, "a", 3.0)


@pytest.mark.parametrize("fdr", [0.0, 1.0, -1.0])
def test_a_share_that_cannot_be_is_refused(fdr: float) -> None:
    with pytest.raises(UserError, match="between 0 and 1"):
        novelties_at_fdr([0.1], fdr)
