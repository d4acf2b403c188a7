"""Tuning ODIN: every number of the grid against a boundary with those values, and the choice among
them."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from knowbound.backbones import WideResNet
from knowbound.boundary.boundary import Boundary
from knowbound.data.outs.noise import gaussian_noise
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import Source
from knowbound.detectors import Odin
from knowbound.metrics import measure
from knowbound.paper.odin_tuning import (
    EPSILONS,
    TEMPERATURES,
    OdinTuning,
    Tried,
    best_of,
    tune_odin,
)
from tests.samples import blobs

TEMPERATURE, EPSILON = (1.0, 100.0), (0.0, 0.01, 0.1)


@pytest.fixture(scope="module")
def backbone() -> WideResNet:
    torch.manual_seed(0)
    return WideResNet(logits=3, depth=10, widen=1, channels=1)


INSIDE = blobs(per_class=20)
NOVELTY = blobs(per_class=30, first=3, classes=2, seed=1).without_labels("novelty")
NOISE = gaussian_noise(50, (1, 16, 16), np.random.default_rng(0))


def test_the_grid_holds_what_a_boundary_with_these_values_gives(backbone: WideResNet) -> None:
    tuning = tune_odin(
        backbone, INSIDE, [NOVELTY, NOISE], temperatures=TEMPERATURE, epsilons=EPSILON
    )
    assert [(t.temperature, t.epsilon) for t in tuning.grid] == [
        (t, e) for t in TEMPERATURE for e in EPSILON
    ]
    for tried in tuning.grid:
        boundary = Boundary(
            backbone,
            Odin(tried.temperature, tried.epsilon),
            Preprocessing(16, 16, 1),
            INSIDE.class_names,
        )
        boundary.learn(INSIDE).calibrate(INSIDE)
        inside, *outs = (boundary.judge(source).score for source in (INSIDE, NOVELTY, NOISE))
        for name, scores in zip(("novelty", "Gaussian noise"), outs, strict=True):
            expected = measure(inside, scores)
            assert tried.fpr95[name] == pytest.approx(
                expected.fpr95, abs=0.04
            )  # sums in another order may swap two images
            assert tried.auroc[name] == pytest.approx(expected.auroc, abs=0.01)
    averages = [sum(t.fpr95.values()) for t in tuning.grid]
    assert sum(tuning.chosen.fpr95.values()) == min(averages)
    assert (tuning.detector.temperature, tuning.detector.epsilon) == (
        tuning.chosen.temperature,
        tuning.chosen.epsilon,
    )


def test_per_out_set_is_tuning_with_that_set_alone(backbone: WideResNet) -> None:
    both = tune_odin(backbone, INSIDE, [NOVELTY, NOISE], temperatures=TEMPERATURE, epsilons=EPSILON)
    for source in (NOVELTY, NOISE):
        assert tune_odin(
            backbone, INSIDE, [source], temperatures=TEMPERATURE, epsilons=EPSILON
        ) == both.for_out_source(source.name)


def tried(temperature: float, fpr: Mapping[str, float], area: Mapping[str, float]) -> Tried:
    return Tried(temperature, 0.0, fpr, area)


def test_mean_fpr_decides_then_auroc() -> None:
    grid = (
        tried(1, {"a": 0.0, "b": 0.5}, {"a": 1.0, "b": 0.9}),
        tried(2, {"a": 0.25, "b": 0.25}, {"a": 0.99, "b": 0.98}),
        tried(5, {"a": 0.1, "b": 0.6}, {"a": 1.0, "b": 1.0}),
    )
    tuning = OdinTuning(grid, grid[0])
    assert tuning.for_out_source("a").chosen.temperature == 1
    assert tuning.for_out_source("b").chosen.temperature == 2
    assert best_of(grid).temperature == 2
    assert best_of(grid[::-1]).temperature == 2


def test_the_full_grid_is_the_papers() -> None:
    assert len(TEMPERATURES) == 10
    np.testing.assert_allclose(EPSILONS, np.linspace(0, 0.004, 21))


def test_nothing_to_choose_from_is_refused(backbone: WideResNet) -> None:
    with pytest.raises(ValueError, match="at least one of each"):
        tune_odin(backbone, INSIDE, [])
    with pytest.raises(ValueError, match="at least one score"):
        tune_odin(
            backbone,
            INSIDE,
            [Source("none", INSIDE.images(slice(0, 0)), INSIDE.labels[:0])],
            temperatures=(1.0,),
            epsilons=(0.0,),
        )
