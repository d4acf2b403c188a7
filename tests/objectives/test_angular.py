"""The angular loss, by loops over pairs, and beside pytorch-metric-learning's."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import AngularLoss
from torch import Tensor

from knowbound.objectives import Angular
from knowbound.objectives.distances import unit_length
from knowbound.objectives.metric_learning import one_class_each
from knowbound.objectives.metric_learning import pairs as indices
from tests.objectives.loops import LABELS, batch, batches, dot, mean, others, pairs, unit


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
@pytest.mark.parametrize("angle", [36.0, 45.0])
def test_loss_is_the_mean_over_pairs(labels: list[int], angle: float) -> None:
    embeddings, labels_given = batch(labels)
    x, square = unit(embeddings.tolist()), math.tan(math.pi * angle / 180) ** 2
    values = []
    for a, p in pairs(labels):
        total = 1.0
        for n in others(labels, a):
            middle = [u + v for u, v in zip(x[a], x[p], strict=True)]
            total += math.exp(4 * square * dot(middle, x[n]) - 2 * (1 + square) * dot(x[a], x[p]))
        values.append(math.log(total))
    found = Angular(angle)(embeddings, labels_given).item()
    assert found == pytest.approx(mean(values), rel=1e-12)


@given(batches(least=2), st.floats(5, 60))
@settings(max_examples=60, deadline=None)
def test_it_is_the_angular_loss_there(some: tuple[Tensor, Tensor], angle: float) -> None:
    """Theirs does not scale the negatives, so it is given embeddings of unit length."""
    embeddings, labels = some
    apart = one_class_each(labels)
    expected = AngularLoss(angle)(unit_length(embeddings), apart, indices(labels))
    assert Angular(angle)(embeddings, labels).item() == pytest.approx(float(expected), rel=1e-5)


def test_the_exponent_orders_angles_at_the_negative() -> None:
    """|x_a - x_p|^2 - 4 tan^2 |x_n - x_c|^2, x_c the middle, is f_apn and a constant."""
    embeddings, _ = batch([0, 0, 1])
    a, p, n = unit(embeddings.tolist())
    square = math.tan(math.radians(45)) ** 2
    middle = [(u + v) / 2 for u, v in zip(a, p, strict=True)]
    triangle = math.dist(a, p) ** 2 - 4 * square * math.dist(n, middle) ** 2
    exponent = 4 * square * 2 * dot(middle, n) - 2 * (1 + square) * dot(a, p)
    assert triangle - exponent == pytest.approx(2 - 6 * square)


def test_the_angle_must_be_one_of_a_triangle() -> None:
    with pytest.raises(ValueError, match="less than 90"):
        Angular(angle=90.0)
    with pytest.raises(ValueError, match="above 0"):
        Angular(angle=0.0)
