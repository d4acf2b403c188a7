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
    """Binary cross-entropy: real images are 1, generated ones 0; the sum of the two means.

    Args:
        real: (N,) logits of real images.
        generated: (M,) logits of generated ones.
    """
    return _called(real, 1.0) + _called(generated, 0.0)


def generator_loss(generated: Tensor, classes: Tensor, beta: float) -> Tensor:
    """Binary cross-entropy to be called real + beta KL(uniform || softmax), to lie where the
    classifier is undecided.

    Args:
        generated: (M,) logits of the discriminator.
        classes: (M, C) logits of the classifier.
        beta: weight of the second term.
    """
    return _called(generated, 1.0) + beta * kl_from_uniform(classes)


def classifier_loss(
    real_classes: Tensor, labels: Tensor, generated_classes: Tensor, beta: float
) -> Tensor:
    """Cross-entropy on real images + beta KL(uniform || softmax) on generated ones, each a mean per
    image.

    Args:
        real_classes: (N, C) logits of real images.
        labels: (N,) in 0..C-1.
        generated_classes: (M, C) logits of generated images.
        beta: weight of the second term.
    """
    return mean_cross_entropy(real_classes, labels) + beta * kl_from_uniform(generated_classes)


def _called(logits: Tensor, answer: float) -> Tensor:
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, answer))
