"""Benjamini and Hochberg's procedure, step by step, and what it promises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowbound.boundary.false_discovery import novelties_at_fdr
from knowbound.errors import UserError


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


@pytest.mark.parametrize("fdr", [0.0, 1.0, -1.0])
def test_a_share_that_cannot_be_is_refused(fdr: float) -> None:
    with pytest.raises(UserError, match="between 0 and 1"):
        novelties_at_fdr([0.1], fdr)
