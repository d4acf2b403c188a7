"""ViM against the authors' formulas with the true last layer, which the detector has to find by
itself."""

import numpy as np
import pytest
import torch

from knowbound.detectors.vim import Vim, principal_dim


def outputs(
    count: int, seed: int, width: int = 10, classes: int = 3
) -> tuple[torch.Tensor, torch.Tensor]:
    layer = np.random.default_rng(9)
    weights, bias = layer.normal(size=(width, classes)), layer.normal(size=classes)
    features = np.random.default_rng(seed).normal(size=(count, width)) * np.arange(1, width + 1) + 1
    return torch.from_numpy(features), torch.from_numpy(features @ weights + bias)


@pytest.mark.parametrize("dim", [None, 7])
def test_against_the_formulas_with_the_true_layer(dim: int | None) -> None:
    layer = np.random.default_rng(9)
    weights, bias = layer.normal(size=(10, 3)), layer.normal(size=3)
    features, logits = outputs(200, 0)
    labels = torch.arange(200) % 3
    queries, query_logits = outputs(30, 1)
    # as in the authors' program: origin, eigenvectors of the covariance about it, the smallest ones
    # span the residual space
    origin = -np.linalg.pinv(weights.T) @ bias
    x = features.numpy() - origin
    values, vectors = np.linalg.eig(x.T @ x / len(x))
    residual = vectors[:, np.argsort(values)[::-1][dim or 5 :]]
    alpha = logits.numpy().max(axis=1).mean() / np.linalg.norm(x @ residual, axis=1).mean()
    virtual = np.linalg.norm((queries.numpy() - origin) @ residual, axis=1) * alpha
    energy = np.log(np.exp(query_logits.numpy()).sum(axis=1))
    detector = Vim(dim)
    detector.fit(detector.read(features, logits), labels)
    found = detector.score(detector.read(queries, query_logits))
    np.testing.assert_allclose(found.numpy(), virtual - energy, rtol=1e-7)
    assert (
        detector.classify(detector.read(queries, query_logits)).tolist()
        == query_logits.argmax(dim=1).tolist()
    )


def test_the_dimensions_are_the_authors() -> None:
    assert [principal_dim(width) for width in (2048, 1024, 768, 512, 128, 7)] == [
        1000,
        512,
        512,
        256,
        64,
        3,
    ]


def test_features_that_do_not_vary_and_too_few_of_them() -> None:
    features, logits = outputs(50, 0)
    still = torch.cat([features, torch.full((50, 4), 3.0, dtype=torch.float64)], dim=1)
    detector = Vim()
    seen = detector.read(still, logits)
    assert torch.isfinite(detector.fit(seen, torch.arange(50) % 3).score(seen)).all()
    alive = torch.zeros(50, 30, dtype=torch.float64)
    alive[:, :4] = features[
        :, :4
    ]  # fewer than the principal dimensions: the residual of the training images is rounding
    dead = Vim().fit(Vim().read(alive, logits), torch.arange(50) % 3)
    queries = Vim().read(alive + 0.01, logits)
    torch.testing.assert_close(dead.score(queries), -logits.logsumexp(dim=1), rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="more features than dimensions"):
        Vim(10).fit(torch.cat([features, logits], dim=1), torch.arange(50) % 3)
    with pytest.raises(ValueError, match="at least 1"):
        Vim(0)
