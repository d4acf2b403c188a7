"""The three losses, by loops over images and classes."""

import math

import pytest
import torch

from knowbound.ccag.losses import classifier_loss, discriminator_loss, generator_loss

REAL, GENERATED = [2.0, -0.3, 0.0], [-1.5, 0.7]
CLASSES = [[1.0, -2.0, 0.5], [0.2, 0.1, 3.0]]


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def kl(row: list[float]) -> float:
    total = sum(map(math.exp, row))
    return sum(1 / 3 * (math.log(1 / 3) - math.log(math.exp(z) / total)) for z in row)


def test_the_discriminator_calls_real_images_1_and_generated_ones_0() -> None:
    expected = (
        sum(-math.log(sigmoid(z)) for z in REAL) / 3
        + sum(-math.log(1 - sigmoid(z)) for z in GENERATED) / 2
    )
    assert discriminator_loss(torch.tensor(REAL), torch.tensor(GENERATED)).item() == pytest.approx(
        expected, rel=1e-6
    )


@pytest.mark.parametrize("beta", [0.0, 0.1, 1.0])
def test_the_generator_wants_its_images_called_real_and_the_classifier_undecided(
    beta: float,
) -> None:
    expected = sum(-math.log(sigmoid(z)) for z in GENERATED) / 2 + beta * sum(map(kl, CLASSES)) / 2
    found = generator_loss(torch.tensor(GENERATED), torch.tensor(CLASSES), beta)
    assert found.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("beta", [0.0, 0.1, 1.0])
def test_the_classifier_is_sure_of_real_images_and_undecided_on_generated_ones(beta: float) -> None:
    real, labels = [[0.3, 0.1, -1.0]] * 2, [0, 2]
    entropy = (
        sum(
            -math.log(math.exp(row[label]) / sum(map(math.exp, row)))
            for row, label in zip(real, labels, strict=True)
        )
        / 2
    )
    found = classifier_loss(torch.tensor(real), torch.tensor(labels), torch.tensor(CLASSES), beta)
    assert found.item() == pytest.approx(entropy + beta * sum(map(kl, CLASSES)) / 2, rel=1e-6)


def test_far_off_logits_give_finite_losses_with_gradients() -> None:
    """Where a sigmoid would have become 0 or 1, and its logarithm infinite or cut off."""
    logits = torch.tensor([200.0, -200.0], requires_grad=True)
    discriminator_loss(logits[1:], logits[:1]).backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [1.0, -1.0]
