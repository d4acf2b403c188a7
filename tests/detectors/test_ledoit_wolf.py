"""The shrunk covariance against scikit-learn's, and where nothing is left to shrink."""

import numpy as np
import pytest
import torch
from sklearn.covariance import ledoit_wolf as reference

from knowbound.detectors.ledoit_wolf import ledoit_wolf


@pytest.mark.parametrize(("count", "dim"), [(500, 4), (40, 30), (10, 60), (1, 5), (3, 1)])
def test_against_scikit_learn(count: int, dim: int) -> None:
    rng = np.random.default_rng(count)
    values = rng.normal(size=(count, dim)) @ rng.normal(size=(dim, dim))
    found, shrinkage = ledoit_wolf(torch.from_numpy(values))
    expected, delta = reference(values, assume_centered=True)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10, atol=1e-12)
    assert shrinkage.item() == pytest.approx(delta if dim > 1 else 0, abs=1e-10)


def test_fewer_vectors_than_features_can_be_inverted() -> None:
    values = torch.randn(10, 60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    covariance, shrinkage = ledoit_wolf(values)
    assert 0 < shrinkage.item() <= 1
    assert torch.linalg.eigvalsh(covariance).min() > 1e-3


@pytest.mark.parametrize("values", [torch.zeros(5, 3), torch.zeros(5, 0)])
def test_nothing_varies(values: torch.Tensor) -> None:
    covariance, _ = ledoit_wolf(values.double())
    assert covariance.shape == (values.shape[1],) * 2
    assert (covariance == 0).all()
