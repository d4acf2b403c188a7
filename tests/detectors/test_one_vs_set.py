"""Slabs against all pairs of planes in a loop, planes against scikit-learn, image by image."""

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC

from knowbound.detectors import OneVsSet
from knowbound.detectors.one_vs_set import slab
from knowbound.errors import UserError


def images(classes: int = 3, count: int = 120, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centres = np.random.default_rng(9).normal(size=(classes, 5)) * 4
    return torch.from_numpy(centres[labels] + rng.normal(size=(count, 5))), torch.from_numpy(labels)


def least_risk(own: np.ndarray, others: np.ndarray, weight: float) -> float:
    delta = own.max() - own.min()
    risks = [
        (far - near) / delta
        + delta / (far - near)
        + weight * np.mean((own < near) | (own > far))
        + weight * np.mean((others >= near) & (others <= far))
        for near in own
        for far in own
        if far > near
    ]
    return min(risks)


@pytest.mark.parametrize("weight", [0.0, 1.0, 30.0])
@pytest.mark.parametrize("overlap", [0.0, 1.5, 10.0])
def test_the_planes_have_the_least_risk(weight: float, overlap: float) -> None:
    rng = np.random.default_rng(0)
    own, others = rng.normal(size=40) + 3, rng.normal(size=90) + overlap
    near, far = slab(torch.from_numpy(own), torch.from_numpy(others), weight).tolist()
    assert near in own
    assert far in own
    found = (
        (far - near) / np.ptp(own)
        + np.ptp(own) / (far - near)
        + weight * np.mean((own < near) | (own > far))
        + weight * np.mean((others >= near) & (others <= far))
    )
    assert found == pytest.approx(least_risk(own, others, weight), rel=1e-12)


def test_a_class_by_itself_is_kept_whole_and_one_among_others_is_cut() -> None:
    own, others = torch.linspace(0, 1, 50).double(), torch.full((100,), -3.0).double()
    assert slab(own, others, 1.0).tolist() == [0, 1]
    inside = torch.full((100,), 0.05).double()
    near, far = slab(own, inside, 5.0).tolist()
    assert 0.05 < near < 0.1
    assert far == 1
    many = torch.linspace(0, 1, 5000).double()
    assert slab(many, others, 1.0).tolist() == [0, 1]  # 64 places are tried, the ends among them


@pytest.mark.parametrize("classes", [2, 3])
def test_scores_against_the_machine_itself(classes: int) -> None:
    train, labels = images(classes)
    queries, _ = images(classes, 20, seed=1)
    detector = OneVsSet(cost=0.5).learn(train, labels)
    x = (train.numpy() - train.numpy().mean(axis=0)) / train.numpy().std(axis=0)
    q = (queries.numpy() - train.numpy().mean(axis=0)) / train.numpy().std(axis=0)
    depths, decisions = [], []
    for label in range(classes):
        is_own = labels.numpy() == label
        machine = LinearSVC(C=0.5, class_weight="balanced", dual=False, max_iter=10_000)
        machine.fit(x, np.where(is_own, 1, -1))
        length = np.linalg.norm(machine.coef_)
        decisions.append(machine.decision_function(q))
        signed, found = (machine.decision_function(v) / length for v in (x, q))
        own = torch.from_numpy(signed[is_own])
        near, far = slab(own, torch.from_numpy(signed[~is_own]), 1.0).tolist()
        depths.append([min(s - near, far + 1 / length - s) for s in found])
    np.testing.assert_allclose(detector.depths(queries).numpy(), np.array(depths).T, rtol=1e-4)
    np.testing.assert_allclose(detector.score(queries).numpy(), -np.max(depths, axis=0), rtol=1e-4)
    assert detector.classify(queries).tolist() == np.argmax(decisions, axis=0).tolist()


def test_far_beyond_a_class_is_out_too() -> None:
    """A half-space would accept it with the largest score of all."""
    train, labels = images()
    detector = OneVsSet().learn(train, labels)
    direction = train[labels == 0].mean(dim=0) - train.mean(dim=0)
    assert detector.score((train.mean(dim=0) + 50 * direction)[None]) > detector.score(train).max()


def test_one_image_of_a_class_has_a_slab_of_the_margin() -> None:
    train, labels = images(2)
    labels[0] = 2
    detector = OneVsSet().learn(train, labels)
    assert detector.far[2] - detector.near[2] == pytest.approx(1 / detector.length[2].item())
    assert torch.isfinite(detector.score(train)).all()


def test_settings_and_classes_are_checked() -> None:
    with pytest.raises(ValueError, match="above 0 and at least 0"):
        OneVsSet(cost=0)
    with pytest.raises(ValueError, match="above 0 and at least 0"):
        OneVsSet(weight=-1)
    with pytest.raises(UserError, match="at least two classes"):
        OneVsSet().fit(torch.rand(5, 2), torch.zeros(5, dtype=torch.int64))
