"""Distances to class means, by loops."""

import math

import pytest
import torch

from knowbound.detectors import NearestCentre


def test_score_is_the_distance_to_the_nearest_class_mean() -> None:
    embeddings, labels = torch.randn(30, 4), torch.arange(30) % 3
    detector = NearestCentre().fit(embeddings, labels)
    queries = torch.randn(10, 4)
    for row, score, nearest in zip(
        queries, detector.score(queries), detector.classify(queries), strict=True
    ):
        distances = []
        for c in range(3):
            members = [embeddings[i].tolist() for i in range(30) if labels[i] == c]
            centre = [sum(column) / len(members) for column in zip(*members, strict=True)]
            distances.append(math.dist(row.tolist(), centre))
        assert score.item() == pytest.approx(min(distances), rel=1e-5)
        assert nearest.item() == distances.index(min(distances))


def test_small_distances_far_from_the_origin_are_exact() -> None:
    detector = NearestCentre().fit(
        torch.tensor([[1000.0, 1000.0], [0.0, 0.0]]), torch.tensor([0, 1])
    )
    assert detector.score(torch.tensor([[1000.01, 1000.0]])).item() == pytest.approx(0.01, rel=1e-2)


def test_a_class_without_embeddings_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one for each class"):
        NearestCentre().fit(torch.randn(2, 2), torch.tensor([0, 2]))
