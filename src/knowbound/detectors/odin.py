"""ODIN (Liang, Li and Srikant, ICLR 2018): max softmax with a temperature, after a small step of
the image."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from knowbound.detectors.detector import Detector, Network
from knowbound.detectors.max_softmax import check_logits, minus_log_max_softmax

CHUNK = 64
"""Images whose activations are kept at once for the gradient: about 3 GB for WRN-28-10."""


def gradient_sign(network: Network, images: Tensor, temperature: float) -> Tensor:
    """The sign of the gradient, with respect to the images, of -log max softmax(logits / T).

    That is the cross-entropy towards the predicted class.  A gradient of 0 counts as +1, as in the
    authors' program.  The parameters of the network get no gradient.

    Args:
        network: in evaluation mode; gives two logits or more.
        images: (N, C, H, W) float32.
        temperature: T, above 0.

    Returns:
        (N, C, H, W) of +1 and -1.
    """
    parts = [_gradient(network, part, temperature) for part in images.split(CHUNK)]
    return torch.where(torch.cat(parts) >= 0, 1.0, -1.0).to(images.dtype) if parts else images


def _gradient(network: Network, images: Tensor, temperature: float) -> Tensor:
    with torch.inference_mode(False), torch.enable_grad():
        moved = images.detach().clone().requires_grad_()
        logits = (network(moved).get("logits") / temperature).double()
        top, index = logits.max(dim=1, keepdim=True)
        # -log p = log(1 + u): the gradient of log u has the same sign, and does not vanish where u
        # does
        log_u = (logits - top).scatter(1, index, float("-inf")).logsumexp(dim=1)
        (gradient,) = torch.autograd.grad(log_u.sum(), moved)
    return gradient


class Odin(Detector):
    """Scores an image by -log max softmax(logits / T), after moving it by -epsilon times the sign
    of the gradient (Eq. 1 and 2).

    The authors' program works on normalised images x' = (x - mean) / std and divides the step by
    each channel's std: x' - epsilon / std * sign.  As x = mean + std * x', and the sign is the same
    for both, this is a step of exactly epsilon in [0, 1].  Our backbones normalise inside, so
    nothing is divided here.  Nothing is clipped after the step.  The unit of the logits matters: it
    is the one in which their exponentials are probabilities.

    Args:
        temperature: T, above 0.
        epsilon: the step, at least 0, in units of images in [0, 1].
        channel_std: for networks whose images come normalised from outside: the std of each
            channel, and the step is epsilon / std.

    Raises:
        ValueError: a temperature or std that is not above 0, or a negative epsilon.
    """

    reads = ("logits",)
    moves_images = True

    def __init__(
        self,
        temperature: float = 1000.0,
        epsilon: float = 0.0014,
        channel_std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if not temperature > 0 or not epsilon >= 0:
            raise ValueError(
                f"ODIN was given the temperature {temperature} and epsilon {epsilon}; expected "
                "above 0 and at least 0"
            )
        if channel_std is not None and not all(std > 0 for std in channel_std):
            raise ValueError(
                f"ODIN was given the channel std {tuple(channel_std)}; expected values above 0, "
                "one for each channel"
            )
        self.settings = {
            "temperature": temperature,
            "epsilon": epsilon,
            "channel_std": None if channel_std is None else list(channel_std),
        }
        self.temperature, self.epsilon = temperature, epsilon

    def prepare(self, network: Network, images: Tensor) -> Tensor:
        """The images moved against the gradient.

        Args:
            network: in evaluation mode; gives logits.
            images: (N, C, H, W) float32 in [0, 1].

        Returns:
            (N, C, H, W) float32.
        """
        if self.epsilon == 0:
            return images
        return images - self._step(images) * gradient_sign(network, images, self.temperature)

    def fit(self, embeddings: Tensor, labels: Tensor) -> Self:
        """Nothing to learn.

        Args:
            embeddings: logits (N, C).
            labels: (N,) in 0..C-1.

        Raises:
            ValueError: the logits do not have one column for each class.
        """
        check_logits(embeddings, labels)
        return self

    def score(self, embeddings: Tensor) -> Tensor:
        """Minus the logarithm of the largest softmax probability at the temperature.

        Args:
            embeddings: logits (N, C) of moved images.

        Returns:
            (N,) float64 scores, higher = more out-of-distribution.
        """
        return minus_log_max_softmax(embeddings.double() / self.temperature)

    def classify(self, embeddings: Tensor) -> Tensor:
        """The class of the largest logit.

        Args:
            embeddings: logits (N, C) of moved images.

        Returns:
            (N,) int64, in 0..C-1.
        """
        return embeddings.argmax(dim=1)

    def _step(self, images: Tensor) -> Tensor:
        std = self.settings["channel_std"] or [1.0] * images.shape[1]
        if len(std) != images.shape[1]:
            raise ValueError(
                f"images of {images.shape[1]} channels came with {len(std)} values of channel "
                "std; expected as many"
            )
        return self.epsilon / images.new_tensor(std).view(1, -1, 1, 1)
