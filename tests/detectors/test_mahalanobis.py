"""Mahalanobis distances against NumPy's inverse, written out vector by vector."""

import numpy as np
import pytest
import torch

from knowbound.detectors.mahalanobis import Mahalanobis, RelativeMahalanobis
from knowbound.outputs import Outputs


def vectors(dim: int = 4, per_class: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), per_class)
    mixing = rng.normal(size=(dim, dim))
    return torch.from_numpy(
        rng.normal(size=(len(labels), dim)) @ mixing + 3 * labels[:, None]
    ).float(), torch.from_numpy(labels)


def by_hand(
    train: torch.Tensor, labels: torch.Tensor, queries: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    x, y = train.double().numpy(), labels.numpy()
    means = [x[y == c].mean(axis=0) for c in range(3)]
    shared = sum(np.outer(v - means[c], v - means[c]) for v, c in zip(x, y, strict=True)) / len(x)
    overall = sum(np.outer(v - x.mean(axis=0), v - x.mean(axis=0)) for v in x) / len(x)
    to_class = [
        [(q - m) @ np.linalg.inv(shared) @ (q - m) for m in means] for q in queries.double().numpy()
    ]
    to_all = [
        (q - x.mean(axis=0)) @ np.linalg.inv(overall) @ (q - x.mean(axis=0))
        for q in queries.double().numpy()
    ]
    return np.array(to_class), np.array(to_all)


def test_against_the_inverse_written_out() -> None:
    train, labels = vectors()
    queries = torch.cat(
        [train[::7], torch.randn(9, 4, generator=torch.Generator().manual_seed(1)) * 20]
    )
    to_class, to_all = by_hand(train, labels, queries)
    plain = Mahalanobis().fit(train, labels)
    np.testing.assert_allclose(plain.distances(queries).numpy(), to_class, rtol=1e-8)
    np.testing.assert_allclose(plain.score(queries).numpy(), to_class.min(axis=1), rtol=1e-8)
    assert plain.classify(queries).tolist() == to_class.argmin(axis=1).tolist()
    relative = RelativeMahalanobis().fit(train, labels)
    np.testing.assert_allclose(
        relative.score(queries).numpy(), to_class.min(axis=1) - to_all, rtol=1e-7, atol=1e-7
    )


@pytest.mark.parametrize("kind", [Mahalanobis, RelativeMahalanobis])
def test_directions_without_variation_are_left_out(kind: type[Mahalanobis]) -> None:
    """Columns that are constant, or copies of others, change nothing."""
    train, labels = vectors()
    wide = torch.cat([train, torch.full((len(train), 2), 7.0), train[:, :1]], dim=1)
    plain, degenerate = kind().fit(train, labels), kind().fit(wide, labels)
    torch.testing.assert_close(degenerate.score(wide), plain.score(train), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", [Mahalanobis, RelativeMahalanobis])
def test_fewer_images_than_dimensions_and_all_the_same(kind: type[Mahalanobis]) -> None:
    few = torch.randn(5, 20, generator=torch.Generator().manual_seed(0))
    assert torch.isfinite(kind().fit(few, torch.tensor([0, 0, 1, 1, 2])).score(few)).all()
    same = torch.ones(6, 3)
    assert torch.isfinite(kind().fit(same, torch.tensor([0, 0, 1, 1, 2, 2])).score(same)).all()


@pytest.mark.parametrize("kind", [Mahalanobis, RelativeMahalanobis])
def test_the_unit_of_a_feature_hides_no_other(kind: type[Mahalanobis]) -> None:
    """One feature a million times larger; an image 100 deviations out along another one."""
    train = torch.randn(500, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.arange(500) % 2
    train[:, 1] += 3 * labels
    out = train.mean(dim=0, keepdim=True)
    out[0, 3] += 100
    plain, units = kind().fit(train, labels), torch.ones(8, dtype=torch.float64)
    for unit in (1e6, 1e-6):
        units[0] = unit
        scaled = kind().fit(train * units, labels)
        torch.testing.assert_close(scaled.score(train * units), plain.score(train))
        torch.testing.assert_close(scaled.score(out * units), plain.score(out))
        assert scaled.score(out * units).item() > scaled.score(train * units).max().item()


def test_far_away_is_out_also_with_fewer_images_than_features() -> None:
    """Between classes these images differ in a direction in which none does within its class."""
    train, labels = (
        torch.tensor([[0.0, 0.0], [0.0, 1.0], [10.0, 0.0], [10.0, 1.0]]),
        torch.tensor([0, 0, 1, 1]),
    )
    relative = RelativeMahalanobis().fit(train, labels)
    assert (
        relative.score(torch.tensor([[1000.0, 0.5], [-1e6, 0.5]])).min()
        >= relative.score(train).min()
    )
    generator = torch.Generator().manual_seed(0)
    centres = 2 * torch.randn(5, 64, generator=generator)
    labels = torch.arange(50) % 5
    relative.fit(centres[labels] + torch.randn(50, 64, generator=generator), labels)
    inside = relative.score(centres[labels] + torch.randn(50, 64, generator=generator))
    outside = relative.score(20 * torch.randn(50, 64, generator=generator))
    assert inside.max() < outside.min()


def test_what_is_read_is_a_choice() -> None:
    outputs = Outputs(features=torch.zeros(2, 5), embedding=torch.zeros(2, 3))
    assert Mahalanobis().read(outputs) is outputs.embedding
    assert Mahalanobis(reads="features").read(outputs) is outputs.features
    with pytest.raises(ValueError, match="expected 'embedding' or 'features'"):
        Mahalanobis(reads="pixels")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one for each class"):
        Mahalanobis().fit(torch.zeros(2, 3), torch.tensor([0, 2]))
