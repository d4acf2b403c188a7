"""Deep ranking's hinge, by loops over triplets, and beside pytorch-metric-learning's."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor

from knowbound.objectives import Ranking
from knowbound.objectives.metric_learning import pairs
from tests.objectives.loops import LABELS, batch, batches, mean, triplets, unit


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
@pytest.mark.parametrize("margin", [0.2, 1.0])
def test_loss_is_the_mean_hinge_over_triplets(labels: list[int], margin: float) -> None:
    embeddings, labels_given = batch(labels)
    x = unit(embeddings.tolist())
    expected = mean(
        [
            max(0.0, margin + math.dist(x[a], x[p]) ** 2 - math.dist(x[a], x[n]) ** 2)
            for a, p, n in triplets(labels)
        ]
    )
    found = Ranking(margin)(embeddings, labels_given).item()
    assert found == pytest.approx(expected, rel=1e-12)


@given(batches(least=1), st.floats(0.05, 3.0))
@settings(max_examples=60, deadline=None)
def test_it_is_the_triplet_margin_loss_of_squared_distances(
    some: tuple[Tensor, Tensor], margin: float
) -> None:
    embeddings, labels = some
    theirs = TripletMarginLoss(margin, distance=LpDistance(power=2), reducer=MeanReducer())
    expected = theirs(embeddings, indices_tuple=pairs(labels))
    found = Ranking(margin)(embeddings, labels)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_the_length_of_embeddings_does_not_matter() -> None:
    embeddings, labels = batch(LABELS["in and out"])
    assert Ranking()(7 * embeddings, labels).item() == pytest.approx(
        Ranking()(embeddings, labels).item()
    )


def test_margin_must_be_above_zero() -> None:
    with pytest.raises(ValueError, match="margin -1 was asked for"):
        Ranking(margin=-1)
