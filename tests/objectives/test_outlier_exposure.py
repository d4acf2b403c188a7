"""Outlier exposure, by loops, and next to the confidence loss."""

import json
import math

import pytest
import torch

from knowbound.objectives import ConfidenceLoss, OutlierExposure
from tests.objectives.outs import BATCHES, literal_cross_entropy, mean, random_logits, softmax


@pytest.mark.parametrize("name", BATCHES)
def test_loss_is_cross_entropy_of_ins_and_half_cross_entropy_to_uniform_of_outs(name: str) -> None:
    labels = BATCHES[name]
    logits = random_logits(labels)
    outs = [
        -sum(math.log(p) / 3 for p in softmax(row))
        for row, label in zip(logits.tolist(), labels, strict=True)
        if label < 0
    ]
    expected = literal_cross_entropy(logits, labels) + 0.5 * mean(outs)
    found = OutlierExposure()(logits, torch.tensor(labels, dtype=torch.int64))
    assert found.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", BATCHES)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    labels = torch.tensor(BATCHES[name], dtype=torch.int64)
    logits = random_logits(BATCHES[name])
    (gradient,) = torch.autograd.grad(OutlierExposure()(logits, labels), logits)
    assert gradient.isfinite().all()
    if len(labels):
        assert torch.autograd.gradcheck(lambda z: OutlierExposure()(z, labels), logits)


@pytest.mark.parametrize("weight", [0.5, 1.0])
@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("name", ["in and out", "no ins", "one out"])
def test_it_is_the_confidence_loss_and_a_constant(name: str, classes: int, weight: float) -> None:
    labels = torch.tensor(BATCHES[name]).clamp(max=classes - 1)
    logits = random_logits(BATCHES[name], classes=classes)
    exposure, confidence = (
        OutlierExposure(weight)(logits, labels),
        ConfidenceLoss(weight)(logits, labels),
    )
    assert (exposure - confidence).item() == pytest.approx(weight * math.log(classes), rel=1e-12)
    gradients = [torch.autograd.grad(value, logits)[0] for value in (exposure, confidence)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=0)
    assert gradients[0].abs().max() > 0


def test_settings() -> None:
    assert OutlierExposure().head_sizes(7) == {"logits": 7}
    assert json.loads(json.dumps(OutlierExposure().to_dict()))["rule"] == {
        "name": "RandomBatchesWithOuts",
        "images": 128,
        "outs": 256,
    }
    with pytest.raises(ValueError, match="weight"):
        OutlierExposure(float("nan"))
