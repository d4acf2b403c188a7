"""What each of the three networks is trained for (Lee et al., Section 2.3): scalars from logits.

real, generated: (N,) logits of the discriminator, high for a real image; classes: (N, C) logits of
the classifier.
"""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from knowbound.objectives.confidence import kl_from_uniform
from knowbound.objectives.cross_entropy import mean_cross_entropy


def discriminator_loss(real: Tensor, generated: Tensor) -> Tensor:
    """Binary cross-entropy: real images are 1, generated ones 0; the sum of the two means."""
    return _called(real, 1.0) + _called(generated, 0.0)


def generator_loss(generated: Tensor, classes: Tensor, beta: float) -> Tensor:
    """Binary cross-entropy to be called real + beta KL(uniform || softmax), to lie where the
    classifier is undecided."""
    return _called(generated, 1.0) + beta * kl_from_uniform(classes)


def classifier_loss(
    real_classes: Tensor, labels: Tensor, generated_classes: Tensor, beta: float
) -> Tensor:
    """Cross-entropy on real images with labels (N,) + beta KL(uniform || softmax) on generated
    ones, each a mean per image."""
    return mean_cross_entropy(real_classes, labels) + beta * kl_from_uniform(generated_classes)


def _called(logits: Tensor, answer: float) -> Tensor:
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, answer))
