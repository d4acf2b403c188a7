"""Signatures against a plain loop over classes and features."""

import numpy as np
import pytest
import torch

from knowbound.detectors.extreme_value_signature import ExtremeValueSignature
from knowbound.outputs import Outputs


@pytest.mark.parametrize("dims", [1, 3, 100])
def test_against_a_plain_loop(dims: int) -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.exponential(size=(60, 12)), np.arange(60) % 4
    x[np.arange(60), labels] += 3
    queries = rng.exponential(size=(9, 12))
    kept = min(dims, 6)
    expected = np.empty((9, 4))
    for c in range(4):
        mean = x[labels == c].mean(axis=0)
        signature = sorted(range(12), key=lambda i, mean=mean: -mean[i])[:kept]
        for n, query in enumerate(queries):
            expected[n, c] = sum(query[i] * mean[i] for i in signature) / sum(
                mean[i] ** 2 for i in signature
            )
    detector = ExtremeValueSignature(dims).fit(torch.from_numpy(x), torch.from_numpy(labels))
    found = torch.from_numpy(queries)
    np.testing.assert_allclose(detector.fits(found).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(
        detector.score(found).numpy(), 1 - expected.max(axis=1), rtol=1e-12, atol=1e-13
    )
    assert detector.classify(found).tolist() == expected.argmax(axis=1).tolist()


def test_features_that_may_be_negative_count_by_their_magnitude() -> None:
    means = torch.tensor([[-5.0, 0.1, 0.2, 1.0], [0.1, -4.0, 0.2, 1.0]])
    detector = ExtremeValueSignature(1, reads="embedding").fit(means, torch.tensor([0, 1]))
    assert detector.signatures.tolist() == [[-5.0, 0.0, 0.0, 0.0], [0.0, -4.0, 0.0, 0.0]]
    assert detector.score(means).tolist() == [0.0, 0.0]


def test_features_that_are_never_active() -> None:
    detector = ExtremeValueSignature().fit(torch.zeros(4, 6), torch.tensor([0, 0, 1, 1]))
    assert detector.score(torch.zeros(2, 6)).tolist() == [1.0, 1.0]


def test_a_large_offset_or_another_unit_costs_no_digits() -> None:
    """In float32, scores of features of 1e4 tie; below an absolute floor, no signature is left."""
    rng = np.random.default_rng(0)
    labels = torch.arange(500) % 5
    x = torch.from_numpy(rng.normal(size=(500, 12)))
    x[torch.arange(500), labels] += 3
    far = (x + 1e4).float()  # the network's precision
    detector = ExtremeValueSignature().fit(far, labels)
    assert len(detector.score(far).unique()) > 400
    small, large = (ExtremeValueSignature().fit(unit * x, labels) for unit in (1e-12, 1e12))
    expected = ExtremeValueSignature().fit(x, labels).score(x)
    torch.testing.assert_close(small.score(1e-12 * x), expected)
    torch.testing.assert_close(large.score(1e12 * x), expected)


def test_what_is_read_is_a_choice_and_settings_are_checked() -> None:
    outputs = Outputs(features=torch.zeros(2, 5), embedding=torch.zeros(2, 3))
    assert ExtremeValueSignature().read(outputs) is outputs.features
    assert ExtremeValueSignature(reads="embedding").read(outputs) is outputs.embedding
    with pytest.raises(ValueError, match="at least 1"):
        ExtremeValueSignature(dims=0)
    with pytest.raises(ValueError, match="at least one for each class"):
        ExtremeValueSignature().fit(torch.zeros(2, 3), torch.tensor([0, 2]))
