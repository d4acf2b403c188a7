"""Several detectors in one pass say what each says alone."""

from typing import Any, Self

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from knowbound.backbones import LeNet
from knowbound.boundary.boundary import Boundary
from knowbound.boundary.together import judge_together, with_detectors
from knowbound.data.preprocessing import Preprocessing
from knowbound.detectors import MaxSoftmax, NearestCentre, Odin
from tests.samples import blobs


class FeatureNorm(nn.Module):
    """Reads the features: minus their length."""

    settings: dict[str, Any] = {}  # noqa: RUF012

    def read(self, features: Tensor, embeddings: Tensor) -> Tensor:
        return features

    def fit(self, embeddings: Tensor, labels: Tensor) -> Self:
        self.width = embeddings.shape[1]
        return self

    def score(self, embeddings: Tensor) -> Tensor:
        assert embeddings.shape[1] == self.width
        return -embeddings.norm(dim=1)

    def classify(self, embeddings: Tensor) -> Tensor:
        return torch.zeros(len(embeddings), dtype=torch.int64)


class Counting(LeNet):
    """Counts the images that pass through it."""

    passed = 0

    def features(self, images: Tensor) -> Tensor:
        self.passed += len(images)
        return super().features(images)


def trained() -> tuple[Boundary, Counting]:
    torch.manual_seed(0)
    network = Counting(3, channels=1, height=16, width=16, hidden=8)
    boundary = Boundary(network, NearestCentre(), Preprocessing(16, 16, 1), ("a", "b", "c"))
    return boundary.learn(blobs()).calibrate(blobs(seed=1)), network


def test_together_equals_alone() -> None:
    boundary, network = trained()
    detectors = [NearestCentre(), MaxSoftmax(), Odin(10.0, 0.01), FeatureNorm()]
    boundaries = with_detectors(boundary, detectors, blobs(), blobs(seed=1))
    for one in boundaries:  # set on the held-out images, not on those the detector learned from
        held_out = one.judge_source(blobs(seed=1)).scores
        assert float(one.threshold) == np.sort(held_out)[int(np.ceil(0.95 * len(held_out))) - 1]
    queries = blobs(seed=2, classes=5)
    network.passed = 0
    judged = judge_together(boundaries, queries)
    assert network.passed == 3 * len(
        queries
    )  # once for all; ODIN for its gradient and for the moved images
    for one, together in zip(boundaries, judged, strict=True):
        alone = one.judge_source(queries)
        np.testing.assert_array_equal(together.scores, alone.scores)
        np.testing.assert_array_equal(together.decisions, alone.decisions)
        np.testing.assert_array_equal(together.nearest, alone.nearest)
    np.testing.assert_array_equal(judged[0].scores, boundary.judge_source(queries).scores)
    images = torch.from_numpy(queries.images(slice(None)) / np.float32(255))
    np.testing.assert_allclose(
        judged[3].scores, -network.features(images).norm(dim=1).detach().numpy(), rtol=1e-5
    )


def test_boundaries_of_two_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="different networks"):
        judge_together([trained()[0], trained()[0]], blobs())


def test_an_uncalibrated_boundary_is_refused() -> None:
    boundary, _ = trained()
    boundary.threshold = torch.tensor(float("nan"))
    with pytest.raises(ValueError, match="no threshold"):
        judge_together([boundary], blobs())


def test_a_network_without_features_gives_its_embeddings_for_both() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 4))
    boundary = Boundary(network, FeatureNorm(), Preprocessing(16, 16, 1), ("a", "b", "c"))
    features, embeddings = boundary.outputs(torch.rand(2, 1, 16, 16))
    assert features is embeddings
    assert embeddings.shape == (2, 4)
