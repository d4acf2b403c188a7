import tracemalloc
from math import erf, sqrt

import numpy as np
import pytest

from knowbound.data.outs.noise import gaussian_noise
from knowbound.labels import OUT


def below(value: float, mean: float, std: float) -> float:
    """Share of N(mean, std) below the value."""
    return 0.5 * (1 + erf((value - mean) / (std * sqrt(2))))


@pytest.mark.parametrize(("mean", "std"), [(0.5, 1.0), (0.3, 0.4)])
def test_values_are_a_clipped_normal(mean: float, std: float) -> None:
    source = gaussian_noise(200, (3, 32, 32), np.random.default_rng(0), mean=mean, std=std)
    values = source.images(slice(None)).ravel()
    assert values.dtype == np.float32
    assert (values.min(), values.max()) == (0, 1)
    assert np.mean(values == 0) == pytest.approx(below(0, mean, std), abs=0.005)
    assert np.mean(values == 1) == pytest.approx(1 - below(1, mean, std), abs=0.005)
    for value in (0.1, 0.4, 0.7, 0.95):
        assert np.mean(values <= value) == pytest.approx(below(value, mean, std), abs=0.005)


def test_the_default_is_the_papers() -> None:
    default = gaussian_noise(5, (1, 4, 4), np.random.default_rng(1))
    named = gaussian_noise(5, (1, 4, 4), np.random.default_rng(1), mean=0.5, std=1.0)
    assert default.sha256() == named.sha256()
    assert default.name == "Gaussian noise"
    assert default.labels.tolist() == [OUT] * 5
    assert default.sha256() != gaussian_noise(5, (1, 4, 4), np.random.default_rng(2)).sha256()


def test_pixels_are_independent() -> None:
    pixels = (
        gaussian_noise(20_000, (1, 2, 2), np.random.default_rng(3))
        .images(slice(None))
        .reshape(-1, 4)
    )
    correlation = np.corrcoef(pixels, rowvar=False) - np.eye(4)
    assert np.abs(correlation).max() < 0.04
    assert len(np.unique(pixels[:, 0])) > 5_000


def test_memory_stays_at_the_size_of_the_answer() -> None:
    tracemalloc.start()
    source = gaussian_noise(1_000, (3, 32, 32), np.random.default_rng(0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.2 * source.images(slice(None)).nbytes


def test_nothing_and_too_little() -> None:
    assert len(gaussian_noise(0, (1, 8, 8), np.random.default_rng(0))) == 0
    assert (
        gaussian_noise(2, (1, 2, 2), np.random.default_rng(0), std=0.0).images(slice(None)).tolist()
        == [[[[0.5, 0.5], [0.5, 0.5]]]] * 2
    )
    for count, std in [(-1, 1.0), (1, -1.0)]:
        with pytest.raises(ValueError, match="expected neither below 0"):
            gaussian_noise(count, (1, 2, 2), np.random.default_rng(0), std=std)
