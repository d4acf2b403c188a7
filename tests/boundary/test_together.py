"""Several detectors in one pass say what each says alone."""

import math
from typing import ClassVar, Self

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from knowbound.backbones import LeNet
from knowbound.boundary.boundary import Boundary
from knowbound.boundary.together import judge_together, with_detectors
from knowbound.data.preprocessing import Preprocessing
from knowbound.detectors import MaxSoftmax, NearestCentre, Odin
from knowbound.detectors.detector import Detector
from knowbound.outputs import Field
from tests.samples import blobs


class Norm(Detector):
    """Minus the length of what it reads."""

    choices: ClassVar[tuple[Field, ...]] = ("features", "stages")

    def __init__(self, reads: Field = "features") -> None:
        super().__init__(reads=reads)

    def fit(self, vectors: Tensor, labels: Tensor) -> Self:
        self.width = vectors.shape[1]
        return self

    def score(self, vectors: Tensor) -> Tensor:
        assert vectors.shape[1] == self.width
        return -vectors.norm(dim=1)

    def classify(self, vectors: Tensor) -> Tensor:
        return torch.zeros(len(vectors), dtype=torch.int64)


class Counting(LeNet):
    """Counts the images that pass through it."""

    passed = 0

    def activations(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        self.passed += len(images)
        return super().activations(images)


def trained() -> tuple[Boundary, Counting]:
    torch.manual_seed(0)
    network = Counting(embedding=3, logits=3, channels=1, height=16, width=16, hidden=8)
    boundary = Boundary(network, NearestCentre(), Preprocessing(16, 16, 1), ("a", "b", "c"))
    return boundary.learn(blobs()).calibrate(blobs(seed=1)), network


def test_together_equals_alone() -> None:
    boundary, network = trained()
    detectors = [NearestCentre(), MaxSoftmax(), Odin(10.0, 0.01), Norm(), Norm("stages")]
    boundaries = with_detectors(boundary, detectors, blobs(), blobs(seed=1))
    for one in boundaries:  # set on the held-out images, not on those the detector learned from
        held_out = one.judge(blobs(seed=1)).score
        needed = math.ceil(0.95 * (len(held_out) + 1)) - 1
        assert float(one.threshold.thresholds) == np.sort(held_out)[needed]
    queries = blobs(seed=2, classes=5)
    network.passed = 0
    judged = judge_together(boundaries, queries)
    assert network.passed == 3 * len(
        queries
    )  # once for all; ODIN for its gradient and for the moved images
    for one, together in zip(boundaries, judged, strict=True):
        for mine, theirs in zip(together, one.judge(queries), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(judged[0].score, boundary.judge(queries).score)
    outputs = network(torch.from_numpy(queries.images(slice(None)) / np.float32(255)), stages=True)
    for judgement, read in zip(judged[3:], (outputs.features, outputs.stages), strict=True):
        np.testing.assert_allclose(judgement.score, -read.norm(dim=1).detach().numpy(), rtol=1e-5)


def test_boundaries_of_two_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="different networks"):
        judge_together([trained()[0], trained()[0]], blobs())


def test_an_uncalibrated_boundary_is_refused() -> None:
    torch.manual_seed(0)
    network = LeNet(embedding=3, height=16, width=16, hidden=8)
    boundary = Boundary(network, NearestCentre(), Preprocessing(16, 16, 1), ("a", "b", "c"))
    boundary.learn(blobs())
    with pytest.raises(ValueError, match="no threshold"):
        judge_together([boundary], blobs())


def test_a_network_that_gives_one_tensor_gives_it_for_all() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 4))
    boundary = Boundary(network, Norm("stages"), Preprocessing(16, 16, 1), ("a", "b", "c"))
    outputs = boundary.outputs(torch.rand(2, 1, 16, 16))
    assert outputs.features is outputs.embedding
    assert outputs.embedding is not None
    assert outputs.embedding.shape == (2, 4)
    assert outputs.logits is None
