"""The N-pair loss, by loops over pairs, and beside two losses of pytorch-metric-learning."""

import math

import pytest
import torch
from hypothesis import given, settings
from pytorch_metric_learning.distances import DotProductSimilarity
from pytorch_metric_learning.losses import NPairsLoss, NTXentLoss
from torch import Tensor

from knowbound.objectives import NPair
from knowbound.objectives.metric_learning import pairs as indices
from tests.objectives.loops import LABELS, batch, batches, dot, mean, others, pairs

TINY = 1e-300
"""A weight of the lengths that leaves only the pairs."""
PRODUCT = DotProductSimilarity(normalize_embeddings=False)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
def test_loss_is_the_mean_over_pairs_and_that_of_squared_lengths(labels: list[int]) -> None:
    embeddings, labels_given = batch(labels)
    x, values = embeddings.tolist(), []
    for a, p in pairs(labels):
        total = sum(math.exp(dot(x[a], x[n]) - dot(x[a], x[p])) for n in others(labels, a))
        values.append(math.log(1 + total))
    lengths = [dot(row, row) for row, label in zip(x, labels, strict=True) if label >= 0]
    found = NPair(norm_weight=0.25)(embeddings, labels_given).item()
    assert found == pytest.approx(mean(values) + 0.25 * mean(lengths), rel=1e-12)


@given(batches(least=2))
@settings(max_examples=60, deadline=None)
def test_it_is_their_normalised_temperature_loss_of_products(some: tuple[Tensor, Tensor]) -> None:
    embeddings, labels = some
    theirs = NTXentLoss(temperature=1.0, distance=PRODUCT)
    expected = theirs(embeddings, indices_tuple=indices(labels))
    found = NPair(norm_weight=TINY)(embeddings, labels)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_with_two_images_alike_of_two_classes_it_is_their_n_pairs_loss() -> None:
    """Each anchor then has one negative there and twice the same one here: log 2 more inside."""
    embeddings, _ = batch([0, 1])
    twice, labels = embeddings.repeat(2, 1), torch.tensor([0, 1, 0, 1])
    theirs = NPairsLoss(distance=PRODUCT)(twice, labels).item()
    x = embeddings.tolist()
    gaps = [dot(x[0], x[1]) - dot(x[a], x[a]) for a in (0, 1)]
    assert theirs == pytest.approx(mean([math.log(1 + math.exp(gap)) for gap in gaps]))
    found = NPair(norm_weight=TINY)(twice, labels).item()
    assert found == pytest.approx(mean([math.log(1 + 2 * math.exp(gap)) for gap in gaps]))


def test_large_products_stay_finite() -> None:
    embeddings, labels = batch(LABELS["in and out"])
    assert NPair()(1000 * embeddings, labels).isfinite()


def test_the_weight_of_the_lengths_must_be_above_zero() -> None:
    with pytest.raises(ValueError, match="norm_weight 0 was asked for"):
        NPair(norm_weight=0)
