"""The histogram loss, by loops over pairs and nodes, and beside pytorch-metric-learning's."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import HistogramLoss
from torch import Tensor

from knowbound.objectives import Histogram
from knowbound.objectives.histogram import soft_histogram
from knowbound.objectives.metric_learning import pairs as indices
from tests.objectives.loops import LABELS, batch, batches, dot, mean, unit


def literal_histogram(values: list[float], bins: int) -> list[float]:
    """At node t the mean of the triangle of half width 2 / bins about it."""
    step = 2 / bins
    nodes = [-1 + step * r for r in range(bins + 1)]
    return [mean([max(0.0, 1 - abs(value - node) / step) for value in values]) for node in nodes]


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
@pytest.mark.parametrize("bins", [5, 100])
def test_loss_is_the_sum_over_two_nodes_in_the_wrong_order(labels: list[int], bins: int) -> None:
    embeddings, labels_given = batch(labels)
    x = unit(embeddings.tolist())
    alike, apart = [], []
    for i in range(len(labels)):
        for j in range(i):
            if labels[i] >= 0 or labels[j] >= 0:
                (alike if labels[i] == labels[j] else apart).append(dot(x[i], x[j]))
    plus, minus = literal_histogram(alike, bins), literal_histogram(apart, bins)
    expected = sum(minus[r] * plus[q] for r in range(bins + 1) for q in range(r + 1))
    found = Histogram(bins)(embeddings, labels_given).item()
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-15)


@given(batches(least=2).filter(lambda some: int(some[1].eq(2).sum()) != 1), st.integers(2, 150))
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
def test_it_is_the_histogram_loss_there(some: tuple[Tensor, Tensor], bins: int) -> None:
    """Theirs takes the negatives of anchors that have a positive, so no class has one image."""
    embeddings, labels = some
    directions = torch.nn.functional.normalize(embeddings.detach(), dim=1)
    # theirs fails where two embeddings are the same or opposite but for rounding
    assume(bool(((directions @ directions.T).abs().triu(1) < 1 - 1e-6).all()))
    expected = HistogramLoss(bins)(embeddings, indices_tuple=indices(labels))
    found = Histogram(bins)(embeddings, labels)
    assert found.item() == pytest.approx(float(expected), rel=1e-5, abs=1e-6)


def test_the_ends_are_nodes_and_rounding_beyond_them_is_cut() -> None:
    found = soft_histogram(torch.tensor([-1.0000001, 1.0000002, 0.0, 0.25]), bins=4)
    assert found.tolist() == pytest.approx([0.25, 0, 0.25 + 0.125, 0.125, 0.25])


def test_it_is_a_probability() -> None:
    embeddings, labels = batch([0, 0, 1, 1, -1] * 4)
    sure = torch.eye(4, dtype=torch.float64)[[0, 0, 1, 1, 2] * 4]
    assert 0 < Histogram()(embeddings, labels) < 1
    assert Histogram()(sure, labels).item() == pytest.approx(0, abs=1e-12)
