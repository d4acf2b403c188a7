"""The lifted structure loss, by loops over pairs, and beside pytorch-metric-learning's."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import LiftedStructureLoss
from torch import Tensor

from knowbound.objectives import LiftedStructure
from knowbound.objectives.metric_learning import pairs as indices
from tests.objectives.loops import LABELS, batch, batches, mean, others, pairs


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
@pytest.mark.parametrize("margin", [1.0, 4.0])
def test_loss_is_half_the_mean_of_squared_hinges_over_pairs(
    labels: list[int], margin: float
) -> None:
    embeddings, labels_given = batch(labels)
    x, values = embeddings.tolist(), []
    for i, j in pairs(labels):
        pushes = [math.exp(margin - math.dist(x[i], x[k])) for k in others(labels, i)]
        pushes += [math.exp(margin - math.dist(x[j], x[k])) for k in others(labels, j)]
        term = math.log(sum(pushes)) + math.dist(x[i], x[j]) if pushes else 0.0
        values.append(0.5 * max(0.0, term) ** 2)
    found = LiftedStructure(margin)(embeddings, labels_given).item()
    assert found == pytest.approx(mean(values), rel=1e-12)


@given(batches(least=2), st.floats(0.1, 10.0))
@settings(max_examples=60, deadline=None)
def test_it_is_the_lifted_structure_loss_there(some: tuple[Tensor, Tensor], margin: float) -> None:
    embeddings, labels = some
    theirs = LiftedStructureLoss(margin, distance=LpDistance(normalize_embeddings=False))
    expected = theirs(embeddings, indices_tuple=indices(labels))
    found = LiftedStructure(margin)(embeddings, labels)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_pairs_far_from_all_negatives_cost_nothing() -> None:
    embeddings = torch.tensor([[0.0, 0.0], [0.0, 0.1], [50.0, 0.0]], requires_grad=True)
    assert LiftedStructure()(embeddings, torch.tensor([0, 0, -1])) == 0
