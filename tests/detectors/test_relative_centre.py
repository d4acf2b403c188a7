"""The relative distance against a covariance that is built, inverted and applied in loops."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from knowbound.detectors import NearestCentre, RelativeCentre


def by_hand(
    train: NDArray[np.float64],
    labels: NDArray[np.int64],
    test: NDArray[np.float64],
    share: float,
    shrinkage: float,
) -> tuple[list[float], list[int]]:
    train = train / np.sqrt((train**2).sum(axis=1))[:, None]
    test = test / np.sqrt((test**2).sum(axis=1))[:, None]
    classes = sorted(set(labels.tolist()))
    centres = [train[labels == c].mean(axis=0) for c in classes]
    width = train.shape[1]
    spread = np.zeros((width, width))
    for row, label in zip(train, labels, strict=True):
        spread += np.outer(row - centres[label], row - centres[label])
    spread /= len(train) - len(classes)
    unit = shrinkage * np.trace(spread) / width
    precision = np.linalg.inv((1 - shrinkage) * spread + unit * np.eye(width)) * unit
    scores, nearest = [], []
    for row in test:
        squared = [float((row - c) @ precision @ (row - c)) for c in centres]
        scores.append(min(squared) - share * sum(squared) / len(squared))
        nearest.append(squared.index(min(squared)))
    return scores, nearest


@pytest.mark.parametrize(("share", "shrinkage"), [(0.8, 0.97), (0.5, 0.3), (0.0, 1.0)])
@pytest.mark.parametrize("width", [4, 60])  # more and fewer images than numbers
def test_scores(share: float, shrinkage: float, width: int) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    train = rng.normal(size=(30, width)) + 2 * rng.normal(size=(3, width))[labels]
    test = rng.normal(size=(9, width)) * 3
    detector = RelativeCentre(share, shrinkage)
    detector.fit(torch.from_numpy(train), torch.from_numpy(labels))
    scores, nearest = by_hand(train, labels, test, share, shrinkage)
    np.testing.assert_allclose(detector.score(torch.from_numpy(test)).numpy(), scores, rtol=1e-8)
    assert detector.classify(torch.from_numpy(test)).tolist() == nearest


def test_without_share_and_covariance_it_is_the_nearest_centre_of_unit_vectors() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors, labels = torch.randn(20, 6, generator=generator), torch.arange(20) % 2
    units = torch.nn.functional.normalize(vectors, dim=1)
    plain = NearestCentre("features").fit(units, labels)
    relative = RelativeCentre(share=0.0, shrinkage=1.0).fit(vectors, labels)
    torch.testing.assert_close(
        relative.score(vectors).sqrt().float(), plain.score(units), rtol=1e-5, atol=1e-6
    )


def test_length_does_not_matter_and_far_from_all_scores_above_between() -> None:
    labels = torch.arange(40) % 2
    noise = 0.1 * torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    train = torch.eye(3)[labels] + noise
    detector = RelativeCentre().fit(train, labels)
    known, between, far = torch.tensor([[1.0, 0, 0], [1.0, 1, 0], [0, 0, 1.0]])
    scores = detector.score(torch.stack([known, between, far, 7 * far]))
    assert scores[0] < scores[1] < scores[2]
    torch.testing.assert_close(scores[3], scores[2])


def test_ranges() -> None:
    for share, shrinkage in ((1.0, 0.5), (-0.1, 0.5), (0.5, 0.0), (0.5, 1.1)):
        with pytest.raises(ValueError, match="expected a share in"):
            RelativeCentre(share, shrinkage)
