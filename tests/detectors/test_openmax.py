"""OpenMax against its algorithm written out image by image, with the likelihood maximised in
another way."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from knowbound.detectors.openmax import OpenMax, fit_tail


def logits(count: int, seed: int, spread: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    return torch.from_numpy(
        6 * np.eye(4)[labels] + spread * rng.normal(size=(count, 4))
    ).float(), torch.from_numpy(labels)


def weibull_by_roots(values: list[float]) -> tuple[float, float]:
    """The shape solves sum x^k log x / sum x^k - 1/k = mean log x; the scale follows."""
    x = np.array(values)

    def equation(k: float) -> float:
        powers = (x / x.max()) ** k
        return float((powers * np.log(x)).sum() / powers.sum() - 1 / k - np.log(x).mean())

    shape = brentq(equation, 1e-3, 500)
    return shape, float(((x**shape).mean()) ** (1 / shape))


def test_against_the_algorithm_written_out() -> None:
    train, labels = logits(
        400, 0, spread=3
    )  # some are classified wrongly, and are no part of their class's mean
    queries, _ = logits(25, 1, spread=5)
    detector = OpenMax(tail=15, alpha=3).fit(train, labels)
    x, y, q = train.double().numpy(), labels.numpy(), queries.double().numpy()
    models = []
    for c in range(4):
        right = x[(y == c) & (x.argmax(axis=1) == c)]
        mean = right.mean(axis=0)
        tail = sorted(math.dist(v, mean) for v in right)[-15:]
        models.append((mean, tail[0] - 1, *weibull_by_roots([d - tail[0] + 1 for d in tail])))
    for vector, found in zip(q, detector.score(queries).tolist(), strict=True):
        revised, unknown = list(vector), 0.0
        for r, c in enumerate(np.argsort(-vector)[:3]):
            mean, shift, shape, scale = models[c]
            cdf = 1 - math.exp(-((max(0.0, math.dist(vector, mean) - shift) / scale) ** shape))
            omega = 1 - (3 - r) / 3 * cdf
            revised[c] = vector[c] * omega
            unknown += vector[c] * (1 - omega)
        known = sum(math.exp(v) for v in revised)
        p = math.exp(unknown) / (math.exp(unknown) + known)
        assert 1 / (1 + math.exp(-found)) == pytest.approx(
            p, abs=2e-3
        )  # two ways to the same maximum
    assert detector.classify(queries).tolist() == q.argmax(axis=1).tolist()


def test_the_fit_is_the_maximum_of_the_likelihood() -> None:
    distances = torch.tensor([3.0, 3.2, 3.3, 3.9, 4.4, 5.1], dtype=torch.float64)
    shift, shape, scale = fit_tail(distances)
    assert shift == pytest.approx(2.0)
    assert (shape, scale) == pytest.approx(weibull_by_roots((distances - 2).tolist()), rel=1e-3)


def test_one_image_a_class_copies_and_a_class_that_is_never_right() -> None:
    one = 5 * torch.eye(3)
    assert torch.isfinite(OpenMax().fit(one, torch.arange(3)).score(one)).all()
    never = torch.tensor([[5.0, 0, 0], [5.0, 1, 0], [0, 5.0, 0], [0, 5.0, 1]])
    detector = OpenMax().fit(never, torch.tensor([0, 2, 1, 1]))
    torch.testing.assert_close(detector.means[2], never[1].double())


def test_settings_and_labels_are_checked() -> None:
    with pytest.raises(ValueError, match="both above 0"):
        OpenMax(tail=0)
    with pytest.raises(ValueError, match="one column"):
        OpenMax().fit(torch.zeros(2, 3), torch.tensor([0, 1]))
