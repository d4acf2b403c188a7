"""The three networks, and one step that trains each of them on the same batch."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from knowbound.ccag.discriminator import Discriminator
from knowbound.ccag.generator import Generator, without_trace
from knowbound.ccag.losses import classifier_loss, discriminator_loss, generator_loss
from knowbound.values import JsonObject

GAN_BETAS = (0.5, 0.999)
"""Adam's betas for generator and discriminator (DCGAN's); the classifier has Adam's own."""


class Networks(nn.Module):
    """Classifier, generator and discriminator, and what the generator drew so far: all that a
    checkpoint must hold.

    sheets: (K, 64, 3, 32, 32) uint8, filled while the training goes on.
    """

    sheets: Tensor

    def __init__(
        self,
        classifier: nn.Module,
        generator: Generator,
        discriminator: Discriminator,
        sheets: int = 0,
    ) -> None:
        super().__init__()
        self.classifier, self.generator, self.discriminator = classifier, generator, discriminator
        self.register_buffer("sheets", torch.zeros(sheets, 64, 3, 32, 32, dtype=torch.uint8))

    def optimizer(self, learning_rate: float, *, fused: bool = True) -> Adam:
        """One Adam for the three, which ``update`` turns on one network at a time: one object to
        save and to resume.

        Args:
            learning_rate: of all three.
            fused: whether to take torch's fused kernel.
        """
        groups: list[JsonObject] = [
            {"params": list(self.classifier.parameters())},
            {"params": list(self.generator.parameters()), "betas": GAN_BETAS},
            {"params": list(self.discriminator.parameters()), "betas": GAN_BETAS},
        ]
        return Adam(groups, learning_rate, fused=fused)


@dataclass(frozen=True)
class JointLosses:
    """The losses of one step, scalars, each from before its own network's update."""

    discriminator: Tensor
    generator: Tensor
    classifier: Tensor


def update(loss: Tensor, network: nn.Module, optimizer: Optimizer) -> Tensor:
    """Change one network alone.  Adam passes over parameters that have no gradient.

    Args:
        loss: a scalar.
        network: to be changed.
        optimizer: of all three.

    Returns:
        The loss, without its graph.
    """
    optimizer.zero_grad(set_to_none=True)
    loss.backward(
        inputs=[parameter for parameter in network.parameters() if parameter.requires_grad]
    )
    optimizer.step()
    return loss.detach()


def joint_step(
    networks: Networks,
    optimizer: Optimizer,
    images: Tensor,
    labels: Tensor,
    noise: Tensor,
    beta: float,
) -> JointLosses:
    """Train discriminator, then generator, then classifier.

    Every pass is in training mode, and real and generated images go through each network apart, so
    that batch norm never mixes them; the classifier's running statistics, with which it judges, are
    of real images alone.

    Args:
        networks: the three.
        optimizer: of ``Networks.optimizer``.
        images: (B, 3, 32, 32) in [0, 1].
        labels: (B,) in 0..C-1.
        noise: (2, B, noise), the first for discriminator and generator, the second for the images
            the classifier is trained on: they come from the generator as it has just become.
        beta: weight of the classifier's indecision on generated images.
    """
    classifier, generator, discriminator = (
        networks.classifier,
        networks.generator,
        networks.discriminator,
    )
    generated = generator(noise[0])
    judged = discriminator_loss(discriminator(images), discriminator(generated.detach()))
    judged = update(judged, discriminator, optimizer)
    made = update(
        generator_loss(discriminator(generated), without_trace(classifier, generated), beta),
        generator,
        optimizer,
    )
    with torch.no_grad():
        fresh = generator(noise[1])
    learned = update(
        classifier_loss(classifier(images), labels, without_trace(classifier, fresh), beta),
        classifier,
        optimizer,
    )
    return JointLosses(judged, made, learned)
