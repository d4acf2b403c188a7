"""Whether images are of the same sort."""

import math

import numpy as np
import pytest
import torch

from knowbound.boundary.likeness import Likeness, image_statistics, smallest_accepting


def slow_statistics(image: np.ndarray) -> list[float]:
    """The first numbers of one grey image, pixel by pixel."""
    height, width = image.shape
    across = [abs(image[r, c + 1] - image[r, c]) for r in range(height) for c in range(width - 1)]
    return [
        float(image.mean()),
        math.log(image.std(ddof=1) + 1e-3),
        math.log(np.mean(across) + 1e-3),
    ]


def test_statistics_are_brightness_contrast_and_detail() -> None:
    image = np.random.default_rng(0).random((12, 12)).astype(np.float32)
    found = image_statistics(torch.from_numpy(image)[None, None])
    assert found.shape == (1, 2 + 9)
    assert found[0, :3].tolist() == pytest.approx(slow_statistics(image), rel=1e-5)
    assert image_statistics(torch.rand(2, 3, 12, 12)).shape == (2, 6 + 9)


def test_an_untaught_class_is_like_the_others_and_noise_is_not() -> None:
    generator = torch.Generator().manual_seed(0)
    bars = torch.zeros(5, 1, 16, 16)
    for c in range(5):
        bars[c, 0, :, 2 + 2 * c : 5 + 2 * c] = 0.8
    images = (
        bars.repeat(60, 1, 1, 1) + 0.05 * torch.randn(300, 1, 16, 16, generator=generator)
    ).clamp(0, 1)
    labels = torch.arange(300) % 5
    taught = labels < 4
    likeness = Likeness().fit(image_statistics(images[taught]), labels[taught])
    noise = torch.rand(50, 1, 16, 16, generator=generator)
    assert (likeness.score(images[~taught]) <= likeness.threshold).double().mean() > 0.9
    assert (likeness.score(noise) > likeness.threshold).all()


def test_the_threshold_accepts_the_class_that_is_hardest_to_expect() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [40, 25, 60])
    statistics = (
        rng.normal(size=(len(labels), 3)) * 0.3
        + np.array([[0, 0, 0], [1, 0, 0], [4, 2, 0]])[labels]
    )
    needed = []
    for left_out in range(3):
        rest, out = statistics[labels != left_out], statistics[labels == left_out]
        precision = np.linalg.inv(np.cov(rest.T) + 1e-3 * np.eye(3))
        distances = sorted(
            float(np.sqrt((x - rest.mean(axis=0)) @ precision @ (x - rest.mean(axis=0))))
            for x in out
        )
        needed.append(distances[math.ceil(0.99 * len(distances)) - 1])
    likeness = Likeness().fit(torch.from_numpy(statistics), torch.from_numpy(labels))
    assert likeness.threshold.item() == pytest.approx(max(needed))
    with pytest.raises(ValueError, match="at least two"):
        Likeness().fit(torch.from_numpy(statistics), torch.zeros(len(labels), dtype=torch.int64))


def test_constant_images_have_finite_scores() -> None:
    black = torch.zeros(4, 3, 8, 8)
    likeness = Likeness().fit(image_statistics(black), torch.tensor([0, 0, 1, 1]))
    assert torch.isfinite(likeness.score(torch.rand(2, 3, 8, 8))).all()


@pytest.mark.parametrize(
    ("share", "expected"), [(0.95, 95.0), (0.5, 50.0), (1.0, 100.0), (0.001, 1.0)]
)
def test_smallest_accepting_is_an_attained_score(share: float, expected: float) -> None:
    scores = torch.arange(1.0, 101.0).flip(0)
    assert smallest_accepting(scores, share) == expected
