"""The null space by its definition: no scatter within classes, some between them; and against
feature space written out."""

import numpy as np
import pytest
import torch
from scipy.linalg import null_space

from knowbound.detectors.null_space import NullSpace, null_projection


def clusters(
    per_class: int = 12, classes: int = 3, dim: int = 5
) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    labels = np.arange(per_class * classes) % classes
    return torch.from_numpy(
        3 * rng.normal(size=(classes, dim))[labels] + rng.normal(size=(len(labels), dim))
    ), torch.from_numpy(labels)


def test_each_class_is_a_point_and_the_points_differ() -> None:
    vectors, labels = clusters()
    detector = NullSpace().fit(vectors, labels)
    assert detector.points.shape == (3, 2)
    assert detector.score(vectors).max() < 1e-5  # every training image lies on its class's point
    assert detector.classify(vectors).tolist() == labels.tolist()
    assert torch.pdist(detector.points).min() > 1000 * detector.score(vectors).max()


def test_against_the_definition_in_feature_space() -> None:
    """With a linear kernel of more features than images the null space can be written out with
    scipy."""
    rng = np.random.default_rng(1)
    labels = np.arange(12) % 3
    x = rng.normal(size=(12, 40))
    centred = x - x.mean(axis=0)
    span = np.linalg.svd(centred, full_matrices=False)[2][
        :11
    ]  # orthonormal basis of the centred images
    within = (
        np.stack([v - x[labels == c].mean(axis=0) for v, c in zip(x, labels, strict=True)]) @ span.T
    )
    expected = x @ (span.T @ null_space(within))
    projection = null_projection(torch.from_numpy(x @ x.T), torch.from_numpy(labels)).numpy()
    found = x @ x.T @ projection
    # the same up to a turn: all distances agree
    np.testing.assert_allclose(
        np.linalg.norm(found[:, None] - found[None], axis=2),
        np.linalg.norm(expected[:, None] - expected[None], axis=2),
        atol=1e-6,
    )


def test_images_are_drawn_evenly_and_repeatably() -> None:
    vectors, _ = clusters(per_class=40)
    labels = torch.cat(
        [
            torch.zeros(100, dtype=torch.int64),
            torch.ones(15, dtype=torch.int64),
            torch.full((5,), 2),
        ]
    )
    first, again = (NullSpace(images=30).fit(vectors, labels) for _ in range(2))
    assert len(first.vectors) == 25
    assert torch.equal(first.vectors, again.vectors)
    assert not torch.equal(first.vectors, NullSpace(images=30, seed=1).fit(vectors, labels).vectors)


@pytest.mark.parametrize(("dim", "classes"), [(3, 5), (5, 10)])
def test_vectors_of_few_dimensions_leave_no_null_space_and_are_told_apart(
    dim: int, classes: int
) -> None:
    rng = np.random.default_rng(0)
    centres, labels = 6 * rng.normal(size=(classes, dim)), np.arange(1000) % classes
    train, test = (
        torch.from_numpy(centres[labels] + rng.normal(size=(1000, dim))) for _ in range(2)
    )
    detector = NullSpace().fit(train, torch.from_numpy(labels))
    assert (detector.classify(test).numpy() == labels).mean() > 0.9


def test_the_width_is_the_median_distance_and_the_kernel_gaussian() -> None:
    vectors, labels = clusters()
    detector = NullSpace().fit(vectors, labels)
    x = detector.vectors.numpy()
    distances = np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=2))
    assert detector.width.item() == pytest.approx(np.median(distances[distances > 0]), rel=0.01)
    query = np.random.default_rng(3).normal(size=(4, 5))
    kernel = np.exp(
        -((query[:, None] - x[None]) ** 2).sum(axis=2) / (2 * detector.width.item() ** 2)
    )
    projected = kernel @ detector.projection.numpy()
    expected = np.linalg.norm(projected[:, None] - detector.points.numpy()[None], axis=2)
    np.testing.assert_allclose(
        detector.distances(torch.from_numpy(query)).numpy(), expected, rtol=1e-6
    )


def test_copies_in_two_classes_and_one_image_a_class() -> None:
    vectors, labels = clusters(per_class=4)
    twice = torch.cat([vectors, vectors[:1]])
    assert torch.isfinite(
        NullSpace().fit(twice, torch.cat([labels, labels[1:2]])).score(twice)
    ).all()
    one = torch.eye(3, dtype=torch.float64)
    assert NullSpace().fit(one, torch.arange(3)).classify(one).tolist() == [0, 1, 2]


def test_settings_and_labels_are_checked() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        NullSpace(images=1)
    with pytest.raises(ValueError, match="at least two classes"):
        NullSpace().fit(torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64))
