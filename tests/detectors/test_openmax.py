"""OpenMax against its algorithm written out image by image, with the likelihood maximised in
another way."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.spatial.distance import cosine

from knowbound.detectors.openmax import OpenMax, Variant, fit_tails


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

    shape = brentq(equation, 1e-3, 1e7, rtol=1e-14)
    return shape, float(x.max() * (((x / x.max()) ** shape).mean()) ** (1 / shape))


def distance(first: np.ndarray, second: np.ndarray, variant: Variant) -> float:
    euclidean = math.dist(first, second)
    return euclidean if variant == "euclidean" else euclidean / 200 + cosine(first, second)


@pytest.mark.parametrize(("variant", "smallest"), [("euclidean", 1.0), ("libmr", 10_000.0)])
def test_against_the_algorithm_written_out(variant: Variant, smallest: float) -> None:
    # some are classified wrongly, and are no part of their class's mean
    train, labels = logits(400, 0, spread=3)
    queries, _ = logits(25, 1, spread=5)
    detector = OpenMax(tail=15, alpha=3, variant=variant).fit(train, labels)
    x, y, q = train.double().numpy(), labels.numpy(), queries.double().numpy()
    models = []
    for c in range(4):
        right = x[(y == c) & (x.argmax(axis=1) == c)]
        mean = right.mean(axis=0)
        tail = sorted(distance(v, mean, variant) for v in right)[-15:]
        shift = tail[0] - smallest
        models.append((mean, shift, *weibull_by_roots([d - shift for d in tail])))
    for vector, found in zip(q, detector.score(queries).tolist(), strict=True):
        revised, unknown = list(vector), 0.0
        for r, c in enumerate(np.argsort(-vector)[:3]):
            mean, shift, shape, scale = models[c]
            shifted = max(0.0, distance(vector, mean, variant) - shift)
            cdf = 1 - math.exp(-((shifted / scale) ** shape))
            omega = 1 - (3 - r) / 3 * cdf
            revised[c] = vector[c] * omega
            unknown += vector[c] * (1 - omega)
        known = sum(math.exp(v) for v in revised)
        p = math.exp(unknown) / (math.exp(unknown) + known)
        assert 1 / (1 + math.exp(-found)) == pytest.approx(p, abs=1e-7)
    assert detector.classify(queries).tolist() == q.argmax(axis=1).tolist()


@pytest.mark.parametrize("smallest", [1.0, 10_000.0])
def test_the_fit_is_the_maximum_of_the_likelihood(smallest: float) -> None:
    rows = [[3.0, 3.2, 3.3, 3.9, 4.4, 5.1], [0.1, 0.11, 0.11, 7.0, 7.1]]
    padded = torch.tensor([row + [-1.0] * (6 - len(row)) for row in rows], dtype=torch.float64)
    found = zip(*(value.tolist() for value in fit_tails(padded, smallest)), strict=True)
    for row, (shift, shape, scale) in zip(rows, found, strict=True):
        assert shift == pytest.approx(row[0] - smallest)
        expected = weibull_by_roots([distance - shift for distance in row])
        assert (shape, scale) == pytest.approx(expected, rel=1e-6)


def test_equal_distances_make_a_step_and_extreme_ones_stay_finite() -> None:
    same = torch.full((1, 5), 2.0, dtype=torch.float64)
    assert [value.item() for value in fit_tails(same, 1.0)] == [1.0, 50.0, 1.0]
    for row in ([1.0] + [2.0] * 19, [1.0] * 19 + [2.0], [1e-9, 1e9, 1e9], [0.0, 0.0, 1e-300]):
        for smallest in (1.0, 10_000.0):
            fitted = fit_tails(torch.tensor([row], dtype=torch.float64), smallest)
            assert all(torch.isfinite(value).all() for value in fitted)


def test_copies_and_a_class_that_is_hardly_ever_right() -> None:
    copies = torch.repeat_interleave(5 * torch.eye(3), 4, dim=0)
    labels = torch.repeat_interleave(torch.arange(3), 4)
    assert torch.isfinite(OpenMax().fit(copies, labels).score(copies)).all()
    copies[8:11] = torch.tensor([[5.0, 0, 0], [5.0, 1, 0], [0, 5.0, 0]])  # one of class 2 is right
    detector = OpenMax().fit(copies, labels)
    torch.testing.assert_close(detector.means[2], copies[8:].double().mean(dim=0))


def test_settings_and_labels_are_checked() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        OpenMax(tail=2)
    with pytest.raises(ValueError, match="euclidean, libmr"):
        OpenMax(variant="matlab")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one column"):
        OpenMax().fit(torch.zeros(2, 3), torch.tensor([0, 1]))
