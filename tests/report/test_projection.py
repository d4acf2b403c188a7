"""Projection against scikit-learn's principal components, and short or broken embeddings."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from knowbound.report.projection import Projection, sample, softmax

RNG = np.random.default_rng(0)


def test_components_are_those_of_scikit_learn() -> None:
    values = RNG.normal(size=(200, 6)) * [5, 4, 3, 1, 1, 0.5]
    theirs = PCA(3).fit(values)
    project = Projection.fit(values)
    ours, expected = project(values), theirs.transform(values)
    signs = np.sign((ours * expected).sum(axis=0))
    assert ours == pytest.approx(expected * signs, abs=1e-8)
    assert project.explained == pytest.approx(theirs.explained_variance_ratio_.sum())


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_short_embeddings_stay_and_get_zeros(dim: int) -> None:
    values = RNG.normal(size=(10, dim))
    projected = Projection.fit(values)(values)
    assert projected.shape == (10, 3)
    assert projected[:, :dim] == pytest.approx(values)
    assert not projected[:, dim:].any()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_images_and_numbers_that_are_none(count: int) -> None:
    values = np.full((count, 7), np.nan)
    project = Projection.fit(values)
    assert np.isfinite(project(np.full((2, 7), np.inf))).all()


def test_softmax_against_the_definition() -> None:
    logits = RNG.normal(size=(5, 3)) * 10
    slow = np.array([[np.exp(v) / sum(np.exp(row)) for v in row] for row in logits])
    assert softmax(logits) == pytest.approx(slow)
    assert softmax(np.array([[1000.0, 0.0]])) == pytest.approx(np.array([[1.0, 0.0]]))


def test_sample_is_sorted_without_repetition_and_within() -> None:
    chosen = sample(1000, 40, np.random.default_rng(0))
    assert len(set(chosen.tolist())) == 40
    assert (np.diff(chosen) > 0).all()
    assert sample(3, 40, RNG).tolist() == [0, 1, 2]
