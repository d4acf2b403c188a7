"""The softmax loss, by hand."""

import math

import pytest
import torch

from knowbound.objectives import CrossEntropy


def test_loss_is_the_mean_of_minus_log_softmax_over_in_images() -> None:
    logits, labels = torch.tensor([[1.0, 2.0], [0.5, -1.0], [9.0, 9.0]]), torch.tensor([0, 0, -1])
    expected = [
        -math.log(math.exp(1) / (math.exp(1) + math.exp(2))),
        -math.log(math.exp(0.5) / (math.exp(0.5) + math.exp(-1))),
    ]
    assert CrossEntropy()(logits, labels).item() == pytest.approx(sum(expected) / 2, rel=1e-6)


def test_loss_of_outs_only_is_zero_with_gradients() -> None:
    logits = torch.ones(2, 3, requires_grad=True)
    CrossEntropy()(logits, torch.tensor([-1, -1])).backward()
    assert logits.grad is not None
    assert (logits.grad == 0).all()
