"""FaceNet's loss, by loops over semi-hard triplets, and beside pytorch-metric-learning's."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import TripletMarginMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor

from knowbound.objectives import SemihardTriplet
from knowbound.objectives.metric_learning import one_class_each
from tests.objectives.loops import LABELS, batch, batches, mean, triplets, unit


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
@pytest.mark.parametrize("margin", [0.2, 1.0])
def test_loss_is_the_mean_over_semihard_triplets(labels: list[int], margin: float) -> None:
    embeddings, labels_given = batch(labels)
    x, values = unit(embeddings.tolist()), []
    for a, p, n in triplets(labels):
        near, far = math.dist(x[a], x[p]) ** 2, math.dist(x[a], x[n]) ** 2
        if near < far < near + margin:
            values.append(near - far + margin)
    found = SemihardTriplet(margin)(embeddings, labels_given).item()
    assert found == pytest.approx(mean(values), rel=1e-12)


@given(batches(least=1), st.floats(0.05, 3.0))
@settings(max_examples=60, deadline=None)
def test_it_is_the_triplet_margin_loss_on_what_the_miner_finds(
    some: tuple[Tensor, Tensor], margin: float
) -> None:
    embeddings, labels = some
    distance = LpDistance(power=2)
    miner = TripletMarginMiner(margin, type_of_triplets="semihard", distance=distance)
    theirs = TripletMarginLoss(margin, distance=distance, reducer=MeanReducer())
    apart = one_class_each(labels)
    expected = theirs(embeddings, indices_tuple=miner(embeddings, apart))
    found = SemihardTriplet(margin)(embeddings, labels)
    assert found.item() == pytest.approx(float(expected), rel=1e-6, abs=1e-7)


def test_a_negative_nearer_than_the_positive_or_beyond_the_margin_does_not_count() -> None:
    angles = torch.tensor([0.0, 1.0, 0.5, 3.0])  # anchor, positive, too near, too far
    embeddings = torch.stack([angles.cos(), angles.sin()], dim=1).requires_grad_()
    SemihardTriplet()(embeddings, torch.tensor([0, 0, -1, -1])).backward()
    assert embeddings.grad is not None
    assert not embeddings.grad.any()
