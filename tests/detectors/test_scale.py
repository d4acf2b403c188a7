"""Deviations against NumPy's, and what counts as none."""

import numpy as np
import pytest
import torch

from knowbound.detectors.scale import inverse_deviations


def test_one_over_the_standard_deviation() -> None:
    values = np.random.default_rng(0).normal(size=(50, 4)) * [1, 1e6, 1e-6, 3] + [0, 5, 0, 1]
    vectors = torch.from_numpy(values)
    found = inverse_deviations(vectors, vectors - vectors.mean(dim=0))
    np.testing.assert_allclose(found.numpy(), 1 / values.std(axis=0), rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("constant", [0.0, 0.1, -7.3e3])
def test_rounding_is_no_variation(dtype: torch.dtype, constant: float) -> None:
    vectors = torch.full((1001, 2), constant, dtype=dtype)
    vectors[:, 1] = torch.arange(1001).to(dtype)
    wide = vectors.double()
    found = inverse_deviations(vectors, wide - wide.mean(dim=0))
    assert found[0] == 0
    assert found[1] > 0
