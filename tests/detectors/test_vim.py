"""ViM against the authors' formulas with the true last layer, which the detector has to find by
itself."""

import numpy as np
import pytest
import torch

from knowbound.detectors.vim import Vim, principal_dim
from knowbound.errors import UserError
from knowbound.outputs import Outputs


def outputs(
    count: int, seed: int, width: int = 10, classes: int = 3
) -> tuple[torch.Tensor, torch.Tensor]:
    layer = np.random.default_rng(9)
    weights, bias = layer.normal(size=(width, classes)), layer.normal(size=classes)
    features = np.random.default_rng(seed).normal(size=(count, width)) * np.arange(1, width + 1) + 1
    return torch.from_numpy(features), torch.from_numpy(features @ weights + bias)


def both(features: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """What the detector reads."""
    return Vim().read(Outputs(features=features, logits=logits))


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
    detector.fit(both(features, logits), labels)
    found = detector.score(both(queries, query_logits))
    np.testing.assert_allclose(found.numpy(), virtual - energy, rtol=1e-7)
    assert (
        detector.classify(both(queries, query_logits)).tolist()
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
    labels = torch.arange(50) % 3
    still = torch.cat([features, torch.full((50, 4), 3.0, dtype=torch.float64)], dim=1)
    seen = both(still, logits)
    assert torch.isfinite(Vim().fit(seen, labels).score(seen)).all()
    # four of 30 vary, fewer than the usual 15 principal dimensions: half of the four are taken
    alive = torch.zeros(50, 30, dtype=torch.float64)
    alive[:, :4] = features[:, :4]
    detector = Vim().fit(both(alive, logits), labels)
    assert detector.residual.shape == (30, 28)
    same = Vim(2).fit(both(alive, logits), labels)
    torch.testing.assert_close(detector.score(both(alive, logits)), same.score(both(alive, logits)))
    for dim in (4, 15):
        with pytest.raises(UserError, match="vary in 4 directions of their 30"):
            Vim(dim).fit(both(alive, logits), labels)
    with pytest.raises(UserError, match="vary in 10 directions"):
        Vim(10).fit(both(features, logits), labels)
    with pytest.raises(UserError, match="two features or more"):
        Vim().fit(both(features[:, :1], logits), labels)
    with pytest.raises(ValueError, match="at least 1"):
        Vim(0)


def test_an_alpha_that_is_not_above_0_is_refused() -> None:
    """With all logits lowered by 50 a long residual would lower the score."""
    features, logits = outputs(50, 0)
    with pytest.raises(UserError, match="alpha would not be above 0"):
        Vim().fit(both(features, logits - 50), torch.arange(50) % 3)
