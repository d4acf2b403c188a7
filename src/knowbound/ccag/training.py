"""The loop of CC-AG: images and a classifier -> the classifier trained, and the generator that made
its out images.

Everything random is a function of (seed, step) alone, so a training that was killed continues bit
for bit.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from knowbound.ccag.discriminator import Discriminator
from knowbound.ccag.generator import Generator, draw_sheet
from knowbound.ccag.joint_step import JointLosses, Networks, joint_step
from knowbound.ccag.settings import CcagTraining
from knowbound.ccag.weights import draw_weights
from knowbound.data.source import Source, to_unit_interval
from knowbound.errors import TrainingStoppedError, UserError
from knowbound.objectives.batches import RandomBatches
from knowbound.training.checkpoint import read_checkpoint, save_checkpoint
from knowbound.training.loop import check_classes, describe_hardware
from knowbound.values import JsonObject

DROPOUT, NOISE, SHEET, WEIGHTS = 1, 2, 3, 4
"""Streams of random numbers under one seed."""


@dataclass(frozen=True)
class CcagProgress:
    """What the loop reports after a step: steps done, the three losses, and real images per second
    since the start or resume."""

    step: int
    steps: int
    loss: float
    """The classifier's."""
    generator_loss: float
    discriminator_loss: float
    images_per_second: float


@dataclass(frozen=True, eq=False)
class CcagTrained:
    """The networks, ready to be used (the classifier is the one given), and what the training was.

    sheets: by steps done, (64, 3, 32, 32) uint8 images of the generator from the same noise each
    time; seconds, images (real ones) and loss (the classifier's last): of this run.
    """

    classifier: nn.Module
    generator: Generator
    discriminator: Discriminator
    sheets: dict[int, NDArray[np.uint8]]
    seconds: float
    images: int
    loss: float
    hardware: str


def train_ccag(
    classifier: nn.Module,
    source: Source,
    settings: CcagTraining,
    *,
    checkpoint: Path | None = None,
    resume: bool = False,
    identity: JsonObject | None = None,
    on_step: Callable[[CcagProgress], None] | None = None,
) -> CcagTrained:
    """Train the classifier in place, on the device and in the precision it is in, with a generator
    and a discriminator of its own.

    Args:
        classifier: (N, 3, 32, 32) in [0, 1] -> (N, C) logits.
        source: in-distribution images of C classes, the only images used.
        settings: of CC-AG.
        checkpoint: where the state goes every ``settings.checkpoint_every`` steps, and where
            ``resume`` takes it from.
        resume: whether to continue from the checkpoint, where there is one.
        identity: what a checkpoint must agree with, besides the settings.
        on_step: called after every step.

    Raises:
        UserError: images that are not 3 x 32 x 32, classes that cannot be trained on, or a
            checkpoint of another training.
        ValueError: a classifier without C outputs.
        TrainingStoppedError: a loss that is not a number.
    """
    like = next(classifier.parameters())
    _check(classifier, source, like)
    identity = {**(identity or {}), "ccag": asdict(settings)}
    saved = read_checkpoint(checkpoint, identity) if checkpoint and resume else None
    batches, sheet_steps = (
        RandomBatches(settings.images).plan(source.labels, settings.seed),
        settings.sheet_steps(),
    )
    with torch.random.fork_rng(devices=[]):
        networks = _build(classifier, settings).to(like).train()
        optimizer = networks.optimizer(settings.learning_rate, fused=like.device.type != "mps")
        first = saved.restore(networks, optimizer) if saved else 0
        sheet_noise = _normal(settings, 0, SHEET, 64, settings.noise).to(like)
        started, images, loss = time.perf_counter(), 0, float("nan")
        for step in range(first, settings.steps):
            for group in optimizer.param_groups:
                group["lr"] = settings.rate_at(step)
            pixels, labels = _batch(source, batches[step])
            noise = _normal(settings, step, NOISE, 2, len(labels), settings.noise)
            torch.manual_seed(_seed(settings, step, DROPOUT))
            losses = joint_step(
                networks,
                optimizer,
                pixels.to(like),
                labels.to(like.device),
                noise.to(like),
                settings.beta,
            )
            images, done = images + len(labels), step + 1
            progress = _progress(done, settings, losses, images / (time.perf_counter() - started))
            loss = progress.loss
            if done in sheet_steps:
                networks.sheets[sheet_steps.index(done)] = draw_sheet(
                    networks.generator, sheet_noise
                )
            if on_step:
                on_step(progress)
            if checkpoint and done % settings.checkpoint_every == 0 and done < settings.steps:
                save_checkpoint(checkpoint, done, networks, optimizer, identity)
    networks.eval()
    return CcagTrained(
        classifier,
        networks.generator,
        networks.discriminator,
        dict(zip(sheet_steps, networks.sheets.cpu().numpy(), strict=True)),
        time.perf_counter() - started,
        images,
        loss,
        describe_hardware(like.device),
    )


def _check(classifier: nn.Module, source: Source, like: Tensor) -> None:
    if source.image_shape != (3, 32, 32):
        raise UserError(
            f"images of {source.name!r} are {source.image_shape} (channels, height, width); "
            "CC-AG's generator makes (3, 32, 32): resize them, or take another method"
        )
    check_classes(source)
    with torch.no_grad():
        outputs = tuple(classifier.eval()(torch.zeros(1, 3, 32, 32).to(like)).shape)
    if outputs != (1, len(source.class_names)):
        raise ValueError(
            f"the classifier gives {outputs} for one image; expected (1, "
            f"{len(source.class_names)}), a logit for each class of {source.name!r}"
        )


def _build(classifier: nn.Module, settings: CcagTraining) -> Networks:
    generator, discriminator = (
        Generator(settings.noise, settings.width),
        Discriminator(settings.width),
    )
    rng = torch.Generator().manual_seed(_seed(settings, 0, WEIGHTS))
    draw_weights(generator, rng)
    draw_weights(discriminator, rng)
    return Networks(classifier, generator, discriminator, len(settings.sheet_steps()))


def _batch(source: Source, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(to_unit_interval(source.images(indices))), torch.from_numpy(
        source.labels[indices]
    )


def _seed(settings: CcagTraining, step: int, stream: int) -> int:
    return int(np.random.default_rng([settings.seed, step, stream]).integers(2**63))


def _normal(settings: CcagTraining, step: int, stream: int, *shape: int) -> Tensor:
    return torch.randn(
        shape, generator=torch.Generator().manual_seed(_seed(settings, step, stream))
    )


def _progress(
    done: int, settings: CcagTraining, losses: JointLosses, images_per_second: float
) -> CcagProgress:
    values = torch.stack(
        [losses.classifier, losses.generator, losses.discriminator]
    ).tolist()  # waits for the device once
    if not all(map(math.isfinite, values)):
        raise TrainingStoppedError(
            f"the losses of classifier, generator and discriminator became {values} at step "
            f"{done}; lower the learning rate (now {settings.learning_rate:g})"
        )
    return CcagProgress(done, settings.steps, values[0], values[1], values[2], images_per_second)
