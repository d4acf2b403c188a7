"""Images per second of the whole training loop against the bare network's forward and backward on
the same batch.

    python -m benchmarks.bench_training [--quick]

The loop draws, augments, and moves the images, and computes the loss and the optimiser's step; the
bare network gets one ready batch over and over.  Both have the same memory order and number format.
"""

import statistics
import time

import numpy as np
import torch
from torch import nn

from benchmarks.timing import heading, line, quick
from knowbound.backbones import LeNet, WideResNet
from knowbound.data.augmentation import Augmentation
from knowbound.data.source import Source
from knowbound.objectives import Contrastive
from knowbound.objectives.batches import BalancedBatches
from knowbound.training.loop import train
from knowbound.training.settings import Training


def sources(
    shape: tuple[int, int, int], count: int = 6000, classes: int = 10
) -> tuple[Source, Source]:
    """Random uint8 images in memory, and as many without labels."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, count, *shape), dtype=np.uint8)
    labels = np.arange(count) % classes
    names = tuple(str(c) for c in range(classes))
    return Source("in", pixels[0], labels, names), Source("out", pixels[1], np.full(count, -1))


def loop_speed(
    network: nn.Module,
    shape: tuple[int, int, int],
    images: int,
    steps: int,
    augmentation: Augmentation,
) -> float:
    """Images per second of the package's loop."""
    inside, outside = sources(shape)
    objective = Contrastive(rule=BalancedBatches(images=images * 3 // 4, outs=images // 4))
    training = Training(
        steps=steps,
        augmentation=augmentation,
        precision="float32",
        channels_last=True,
        compile=False,
    )
    trained = train(network, inside, [outside], objective, training)
    return trained.images / trained.seconds


def bare_speed(network: nn.Module, shape: tuple[int, int, int], images: int, steps: int) -> float:
    """Images per second of forward and backward alone."""
    network = network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch = torch.rand(images, *shape).to(memory_format=torch.channels_last)
    network(batch).get("embedding").square().mean().backward()
    began = time.perf_counter()
    for _ in range(steps):
        network.zero_grad(set_to_none=True)
        network(batch).get("embedding").square().mean().backward()
    return images * steps / (time.perf_counter() - began)


def main(quickly: bool = False) -> None:
    """Print the table."""
    heading()
    rounds = 1 if quickly else 3
    cases = (
        (
            "LeNet, 28 x 28 grey, 256 images, shifts",
            lambda: LeNet(32),
            (1, 28, 28),
            256,
            40,
            Augmentation(shift=2),
        ),
        (
            "WRN-16-2, 32 x 32, 128 images, affine",
            lambda: WideResNet(32),
            (3, 32, 32),
            128,
            8,
            Augmentation(3, 10, 0.1, 0.3, 0.3),
        ),
    )
    for name, make, shape, images, steps, augmentation in cases:
        pairs = [
            (
                loop_speed(make(), shape, images, steps, augmentation),
                bare_speed(make(), shape, images, steps),
            )
            for _ in range(rounds)
        ]
        ours, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
        line(
            f"training loop / bare network, {name}",
            ours / bare,
            "at least 0.95",
            f"{ours:,.0f} / {bare:,.0f} images/s",
        )


if __name__ == "__main__":
    main(quick(__doc__))
