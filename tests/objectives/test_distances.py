"""Distances and cosines of a batch, by loops."""

import math

import pytest
import torch

from knowbound.objectives.distances import cosines, distances, unit_length
from tests.objectives.loops import batch, dot, unit


def test_distances_and_cosines_are_those_of_loops() -> None:
    embeddings, _ = batch([0] * 7)
    rows = embeddings.tolist()
    assert distances(embeddings).tolist() == [
        pytest.approx([math.dist(x, y) for y in rows]) for x in rows
    ]
    assert cosines(embeddings).tolist() == [
        pytest.approx([dot(x, y) for y in unit(rows)]) for x in unit(rows)
    ]


def test_small_distances_far_from_the_origin_are_not_lost() -> None:
    embeddings = torch.tensor([[1000.0, 1000.0], [1000.0, 1000.001]])
    found = distances(embeddings.float())[0, 1].item()
    assert found == (embeddings[1, 1] - embeddings[0, 1]).item()


def test_gradients_are_finite_where_embeddings_coincide_or_are_zero() -> None:
    for same in (torch.ones(3, 2), torch.zeros(3, 2)):
        embeddings = same.requires_grad_()
        (distances(embeddings).sum() + cosines(embeddings).sum()).backward()
        assert embeddings.grad is not None
        assert embeddings.grad.isfinite().all()
    assert unit_length(torch.zeros(1, 2)).tolist() == [[0, 0]]
