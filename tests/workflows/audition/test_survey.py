"""Each class left out in turn, and the same with NumPy."""

from typing import Any

import numpy as np
import pytest
import torch

from knowbound.detectors import NearestCentre
from knowbound.metrics import auroc
from knowbound.workflows.audition.survey import IN_TURN, Survey, survey


def test_a_survey_leaves_each_class_out_in_turn() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0, 0], [0.15, 0, 0], [9, 0, 0], [0, 9, 0]])
    labels = np.repeat(np.arange(4), 10)
    vectors = torch.from_numpy(centres[labels] + rng.normal(0, 0.1, (40, 3)))
    groups = np.arange(40) // 2
    found = survey(vectors, labels, groups, lambda: NearestCentre("features"), 0)
    assert found is not None
    held = found.held
    assert (held[::2] == held[1::2]).all()
    assert np.bincount(labels[held]).tolist() == [4, 4, 4, 4]  # two of the five groups

    def centres_of(classes: list[int]) -> Any:
        own = [(labels == c) & ~held for c in classes]
        return np.stack([vectors.numpy()[o].mean(axis=0) for o in own])

    def distances(classes: list[int]) -> Any:
        return np.linalg.norm(vectors.numpy()[:, None] - centres_of(classes), axis=2)

    right = distances([0, 1, 2, 3])[held].argmin(axis=1) == labels[held]
    assert found.accuracy == pytest.approx(right.mean())
    areas = []
    for label in range(4):
        others = [c for c in range(4) if c != label]
        nearest = distances(others).min(axis=1)
        out = labels == label
        areas.append(float(auroc(nearest[held & ~out], nearest[out])))
    assert found.novelty_auroc == pytest.approx(np.mean(areas))
    assert found.alike.tolist()[:3] == [1, 0, 1]
    assert not found.is_enough


def test_of_many_classes_some_are_left_out_in_turn() -> None:
    labels = np.repeat(np.arange(30), 4)
    vectors = torch.randn(120, 5)
    made: list[NearestCentre] = []

    def make() -> NearestCentre:
        made.append(NearestCentre("features"))
        return made[-1]

    found = survey(vectors, labels, np.arange(120), make, 0)
    assert found is not None
    assert len(made) == 1 + IN_TURN == 21
    assert found.alike.shape == (30,)


def test_a_survey_of_two_classes_knows_no_novelty_and_of_too_few_images_nothing() -> None:
    vectors, labels = torch.randn(20, 3), np.repeat([0, 1], 10)
    two = survey(vectors, labels, np.arange(20), lambda: NearestCentre("features"), 0)
    assert two is not None
    assert (two.novelty_auroc, two.is_enough) == (None, False)
    one = np.zeros(20, dtype=np.int64)
    assert survey(vectors, labels, one, lambda: NearestCentre("features"), 0) is None


@pytest.mark.parametrize(("novelty", "enough"), [(0.97, True), (0.95, False), (None, False)])
def test_a_survey_says_whether_to_try_another(novelty: float | None, enough: bool) -> None:
    found = Survey(0.98, novelty, np.arange(3), np.zeros(9, dtype=bool))
    assert found.is_enough is enough
