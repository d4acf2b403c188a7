"""A promised range in words is never narrower than the range."""

import pytest

from knowbound.judgement.acceptance_range import rounded_outwards


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.9316, 0.9664, ("93.1%", "96.7%")),
        (0.9999, 1.0, ("99.9%", "100.0%")),
        (0.0, 0.0001, ("0.0%", "0.1%")),
    ],
)
def test_both_ends_are_rounded_outwards(low: float, high: float, words: tuple[str, str]) -> None:
    assert rounded_outwards(low, high) == words
