"""The triplet network's loss, by loops over triplets."""

import math

import pytest

from knowbound.objectives import Triplet
from tests.objectives.loops import LABELS, batch, mean, triplets


def literal(x: list[float], positive: list[float], negative: list[float]) -> float:
    """|(d+, d- - 1)|^2 with the softmax of the two distances."""
    powers = [math.exp(math.dist(x, positive)), math.exp(math.dist(x, negative))]
    plus, minus = (power / sum(powers) for power in powers)
    return plus**2 + (minus - 1) ** 2


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
def test_loss_is_the_mean_over_triplets(labels: list[int]) -> None:
    embeddings, given = batch(labels)
    x = embeddings.tolist()
    expected = mean([literal(x[a], x[p], x[n]) for a, p, n in triplets(labels)])
    assert Triplet()(embeddings, given).item() == pytest.approx(expected, rel=1e-12)


def test_it_is_a_half_where_nothing_is_learned_yet() -> None:
    embeddings, labels = batch([0, 0, 1, -1])
    assert Triplet()(0 * embeddings, labels).item() == pytest.approx(0.5)


def test_length_must_be_above_zero() -> None:
    with pytest.raises(ValueError, match="dim 0 was asked for"):
        Triplet(dim=0)
