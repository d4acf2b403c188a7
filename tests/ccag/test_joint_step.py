"""One step of the three networks, next to the same step written out with three optimizers."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax, nll_loss

from knowbound.ccag.discriminator import Discriminator
from knowbound.ccag.generator import Generator
from knowbound.ccag.joint_step import Networks, joint_step, update
from knowbound.ccag.losses import discriminator_loss
from knowbound.ccag.weights import draw_weights

NAMES = ("classifier", "generator", "discriminator")


def networks() -> Networks:
    """Tiny, in float64, with dropout and batch norm in the classifier: both would show a pass too
    many or too few."""
    torch.manual_seed(0)
    classifier = nn.Sequential(
        nn.Conv2d(3, 4, 8, stride=8),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(64, 3),
    )
    found = Networks(classifier, Generator(noise=4, width=2), Discriminator(width=2))
    for network in (found.generator, found.discriminator):
        draw_weights(network, torch.Generator().manual_seed(1))
    return found.double().train()


def batch(step: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    images = torch.rand(6, 3, 32, 32, generator=generator, dtype=torch.float64)
    return (
        images,
        torch.tensor([0, 1, 2, 0, 1, 2]),
        torch.randn(2, 6, 4, generator=generator, dtype=torch.float64),
    )


def parameters(network: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


class Literal:
    """The step as published, in words: three Adams, binary cross-entropy of sigmoids, KL divergence
    averaged over all entries."""

    def __init__(self, nets: Networks, rate: float) -> None:
        self.nets = nets
        self.adams = [
            torch.optim.Adam(nets.classifier.parameters(), lr=rate),
            torch.optim.Adam(nets.generator.parameters(), lr=rate, betas=(0.5, 0.999)),
            torch.optim.Adam(nets.discriminator.parameters(), lr=rate, betas=(0.5, 0.999)),
        ]

    def step(self, images: Tensor, labels: Tensor, noise: Tensor, beta: float) -> list[float]:
        n, bce = self.nets, nn.BCELoss()
        one, zero = torch.ones(len(images)).double(), torch.zeros(len(images)).double()
        uniform = torch.full((len(images), 3), 1 / 3).double()
        of_classifier, of_generator, of_discriminator = self.adams

        of_discriminator.zero_grad()
        real = bce(torch.sigmoid(n.discriminator(images)), one)
        real.backward()
        fake = n.generator(noise[0])
        false = bce(torch.sigmoid(n.discriminator(fake.detach())), zero)
        false.backward()
        of_discriminator.step()

        of_generator.zero_grad()
        fooled = bce(torch.sigmoid(n.discriminator(fake)), one)
        divergence = (
            kl_div(log_softmax(self.judge(fake), dim=1), uniform, reduction="none").mean() * 3
        )
        (fooled + beta * divergence).backward()
        of_generator.step()

        of_classifier.zero_grad()
        entropy = nll_loss(log_softmax(n.classifier(images), dim=1), labels)
        fresh = n.generator(noise[1])
        undecided = (
            kl_div(log_softmax(self.judge(fresh), dim=1), uniform, reduction="none").mean() * 3
        )
        (entropy + beta * undecided).backward()
        of_classifier.step()
        total = (real + false, fooled + beta * divergence, entropy + beta * undecided)
        return [value.item() for value in total]

    def judge(self, generated: Tensor) -> Tensor:
        """The classifier's logits; generated images do not count for the means and variances it
        will judge real ones with."""
        norm = self.nets.classifier[1]
        before = {name: value.clone() for name, value in norm.named_buffers()}
        logits: Tensor = self.nets.classifier(generated)
        for name, value in before.items():
            setattr(norm, name, value)
        return logits


@pytest.mark.parametrize("beta", [1.0, 0.1])
def test_steps_are_those_written_out_with_three_optimizers(beta: float) -> None:
    ours, nets = networks(), networks()
    literal, optimizer = Literal(nets, 1e-3), ours.optimizer(1e-3)
    for step in range(3):
        torch.manual_seed(step)
        expected = literal.step(*batch(step), beta)
        torch.manual_seed(step)
        losses = joint_step(ours, optimizer, *batch(step), beta)
        found = [losses.discriminator.item(), losses.generator.item(), losses.classifier.item()]
        assert found == pytest.approx(expected, rel=1e-6)
    for name, value in ours.state_dict().items():  # running means and variances, too
        torch.testing.assert_close(
            value, nets.state_dict()[name], rtol=1e-6, atol=1e-5, msg=name
        )  # a step is 1e-3


@pytest.mark.parametrize("learning", NAMES)
def test_each_update_changes_its_own_network_alone(learning: str) -> None:
    nets = networks()
    before, optimizer = deepcopy(nets), nets.optimizer(1e-3)
    for name, group in zip(NAMES, optimizer.param_groups, strict=True):
        group["lr"] = 1e-3 if name == learning else 0.0
    joint_step(nets, optimizer, *batch(0), 1.0)
    for name in NAMES:
        changed = not torch.equal(
            parameters(getattr(nets, name)), parameters(getattr(before, name))
        )
        assert changed == (name == learning), name


def test_gradients_of_the_discriminators_loss_do_not_reach_the_generator() -> None:
    nets = networks()
    before, optimizer = parameters(nets.generator), nets.optimizer(1e-3)
    images, _, noise = batch(0)
    update(
        discriminator_loss(
            nets.discriminator(images), nets.discriminator(nets.generator(noise[0]))
        ),
        nets.discriminator,
        optimizer,
    )  # not even where the images were not detached
    assert all(parameter.grad is None for parameter in nets.generator.parameters())
    assert all(parameter.grad is not None for parameter in nets.discriminator.parameters())
    assert torch.equal(parameters(nets.generator), before)


def test_frozen_parameters_stay() -> None:
    nets = networks()
    first = next(nets.classifier.parameters()).requires_grad_(False)
    before = first.clone()
    joint_step(nets, nets.optimizer(1e-3), *batch(0), 1.0)
    assert torch.equal(first, before)
