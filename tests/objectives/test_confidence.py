"""The confidence loss, by loops over images and classes."""

import json
import math

import numpy as np
import pytest
import torch

from knowbound.errors import UserError
from knowbound.objectives import ConfidenceLoss, CrossEntropy
from knowbound.objectives.batches import RandomBatchesWithOuts
from knowbound.objectives.confidence import kl_from_uniform
from tests.objectives.outs import BATCHES, literal_cross_entropy, mean, random_logits, softmax


def literal_kl(row: list[float]) -> float:
    return sum(1 / len(row) * math.log((1 / len(row)) / p) for p in softmax(row))


@pytest.mark.parametrize("weight", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("name", BATCHES)
def test_loss_is_cross_entropy_of_ins_and_weighted_kl_of_outs(name: str, weight: float) -> None:
    labels = BATCHES[name]
    logits = random_logits(labels)
    outs = [
        literal_kl(row) for row, label in zip(logits.tolist(), labels, strict=True) if label < 0
    ]
    expected = literal_cross_entropy(logits, labels) + weight * mean(outs)
    assert ConfidenceLoss(weight)(
        logits, torch.tensor(labels, dtype=torch.int64)
    ).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", BATCHES)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    labels = torch.tensor(BATCHES[name], dtype=torch.int64)
    logits = random_logits(BATCHES[name])
    value = ConfidenceLoss(0.7)(logits, labels)
    (gradient,) = torch.autograd.grad(value, logits)
    assert gradient.isfinite().all()
    if len(labels):
        assert torch.autograd.gradcheck(lambda z: ConfidenceLoss(0.7)(z, labels), logits)


def test_kl_is_zero_at_equal_logits_alone_and_finite_at_large_ones() -> None:
    assert kl_from_uniform(torch.full((4, 10), 3.7, dtype=torch.float64)).item() == pytest.approx(
        0, abs=1e-12
    )
    assert kl_from_uniform(torch.tensor([[1.0, 0.0]])).item() > 0
    assert kl_from_uniform(torch.tensor([[1e4, 0.0, 0.0, 0.0]])).item() == pytest.approx(
        7500 - math.log(4), rel=1e-6
    )


def test_kl_is_a_mean_per_image_and_not_per_class() -> None:
    row = torch.tensor([[2.0, -1.0, 0.5]])
    assert kl_from_uniform(row.repeat(5, 1)).item() == pytest.approx(
        literal_kl(row[0].tolist()), rel=1e-6
    )


def test_half_precision_logits_are_summed_in_float32() -> None:
    logits = random_logits([0, -1]).detach()
    half = ConfidenceLoss()(logits.bfloat16(), torch.tensor([0, -1]))
    assert half.dtype == torch.float32
    assert half.item() == ConfidenceLoss()(logits.bfloat16().float(), torch.tensor([0, -1])).item()


def test_without_outs_it_is_cross_entropy() -> None:
    logits, labels = random_logits([0, 1, 2]), torch.tensor([0, 1, 2])
    assert ConfidenceLoss()(logits, labels).item() == CrossEntropy()(logits, labels).item()


def test_training_on_it_makes_the_network_undecided_on_outs_and_sure_of_ins() -> None:
    torch.manual_seed(0)
    points = torch.tensor([[3.0, 0.0], [0.0, 3.0], [-3.0, -3.0]]).repeat(8, 1) + 0.1 * torch.randn(
        24, 2
    )
    labels = torch.tensor([0, 1, -1]).repeat(8)
    network = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(150):
        optimizer.zero_grad()
        ConfidenceLoss()(network(points), labels).backward()
        optimizer.step()
    sure = network(points).softmax(dim=1).amax(dim=1)
    assert sure[labels >= 0].min() > 0.9
    assert sure[labels < 0].max() < 0.6


def test_it_wants_one_logit_a_class_outs_to_draw_and_a_weight_that_is_not_negative() -> None:
    objective = ConfidenceLoss(0.1, RandomBatchesWithOuts(images=3, outs=2))
    assert objective.head_sizes(7) == {"logits": 7}
    assert json.loads(json.dumps(objective.to_dict())) == {
        "name": "confidence",
        "weight": 0.1,
        "rule": {"name": "RandomBatchesWithOuts", "images": 3, "outs": 2},
    }
    assert len(objective.batches(np.array([0, 1, 0, -1, -1]), seed=0)[0]) == 5
    with pytest.raises(UserError, match="no image of none of the classes"):
        objective.batches(np.array([0, 1, 0]), seed=0)
    with pytest.raises(ValueError, match="weight"):
        ConfidenceLoss(-1)
