"""Distances against scikit-learn's covariance and NumPy's inverse, vector by vector."""

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf

from knowbound.detectors import StageMahalanobis


@pytest.mark.parametrize("count", [12, 300])
def test_against_the_inverse_written_out(count: int) -> None:
    """Twelve images of 20 channels have no covariance that could be inverted without shrinking."""
    rng = np.random.default_rng(0)
    y = np.arange(count) % 3
    x = rng.normal(size=(count, 20)) @ rng.normal(size=(20, 20)) * 10.0 ** rng.integers(-3, 4, 20)
    x += np.eye(3, 20)[y] * 5
    queries = rng.normal(size=(9, 20)) * x.std(axis=0) * 2
    means = np.stack([x[y == c].mean(axis=0) for c in range(3)])
    residuals = x - means[y]
    unit = residuals.std(axis=0)
    inverse = np.linalg.inv(LedoitWolf(assume_centered=True).fit(residuals / unit).covariance_)
    expected = np.array(
        [[(q - m) / unit @ inverse @ ((q - m) / unit) for m in means] for q in queries]
    )
    detector = StageMahalanobis().learn(torch.from_numpy(x), torch.from_numpy(y))
    found = torch.from_numpy(queries)
    np.testing.assert_allclose(detector.distances(found).numpy(), expected, rtol=1e-8)
    np.testing.assert_allclose(detector.score(found).numpy(), expected.min(axis=1), rtol=1e-8)
    assert detector.classify(found).tolist() == expected.argmin(axis=1).tolist()


def test_channels_that_never_vary_are_left_out() -> None:
    train = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(60) % 2
    still = torch.tensor([0.0, 0.1, -7e3]).expand(60, 3)
    wide = torch.cat([train[:, :2], still, train[:, 2:]], dim=1)
    plain = StageMahalanobis().fit(train, labels).score(train)
    torch.testing.assert_close(StageMahalanobis().fit(wide, labels).score(wide), plain)


def test_a_direction_that_training_images_leave_out_still_counts() -> None:
    """Two channels that always agree: an image in which they do not is far."""
    one = torch.randn(60, 1, generator=torch.Generator().manual_seed(0))
    train, labels = one.repeat(1, 2), torch.arange(60) % 2
    detector = StageMahalanobis().learn(train, labels)
    assert detector.score(torch.tensor([[2.0, -2.0]])) > 10 * detector.score(train).max()
