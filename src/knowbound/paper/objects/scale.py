"""What ``--scale quick``, ``cpu`` and ``paper`` are for Table 1: a network, how it is trained, on how
much."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from knowbound.backbones import VGG13, Backbone
from knowbound.ccag import CIFAR10 as CCAG_CIFAR10
from knowbound.ccag import SVHN as CCAG_SVHN
from knowbound.ccag import CcagTraining
from knowbound.data.augmentation import Augmentation
from knowbound.data.outs.synthetic import USUAL_IMAGES
from knowbound.errors import UserError
from knowbound.paper.objects.split import CIFAR10, IN_DISTS, SVHN
from knowbound.training.settings import Training

T = TypeVar("T")


@dataclass(frozen=True)
class Scale:
    """The network, its training, and the sizes of the batches: what differs between ``--scale
    quick``, ``cpu`` and ``paper``.

    train, test: at most so many images of each set; backbone: VGG-13's settings for ("ccag" or
    "paper") form; ce, images: for each in-distribution the training under cross-entropy and the
    images in a batch; outs_on_top: whether the confidence loss, outlier exposure and energy
    fine-tuning see as many out-of-distribution images beside those, or halve them to make room; odm, authors: trainings;
    fine_tuning: that of the energy loss, on the network of ``ce``;
    synthetic: synthetic outliers of each kind.
    """

    name: str
    backbone_name: str
    backbone: Callable[..., Backbone]
    ce: Mapping[str, Training]
    odm: Training
    authors: Training
    fine_tuning: Training
    ccag: Mapping[str, CcagTraining]
    images: Mapping[str, int]
    outs_on_top: bool = False
    authors_images: int = 1024
    train: int | None = None
    test: int | None = None
    synthetic: int = USUAL_IMAGES


def _short(steps: int) -> Training:
    return Training(
        steps=steps,
        learning_rate=2e-3,
        weight_decay=0.05,
        augmentation=Augmentation(shift=3),
        channels_last=True,
        compile=False,
    )


def _both(value: T) -> dict[str, T]:
    return dict.fromkeys(IN_DISTS, value)


def _quarter(steps: int, width: int) -> dict[str, CcagTraining]:
    """Lee et al.'s settings but for fewer steps of 64 images and narrower networks."""
    return {
        in_dist: replace(published, steps=steps, images=64, width=width, sheets=4)
        for in_dist, published in zip(IN_DISTS, (CCAG_SVHN, CCAG_CIFAR10), strict=True)
    }


QUICK = Scale(
    "quick",
    "VGG-13 (quarter width, batch norm)",
    partial(VGG13, widen=0.25, batch_norm=True),
    ce=_both(_short(300)),
    odm=_short(300),
    authors=_short(300),
    fine_tuning=replace(_short(60), learning_rate=2e-4),
    ccag=_quarter(120, 16),
    images=_both(64),
    authors_images=128,
    train=4_000,
    test=1_000,
)
CPU = Scale(
    "cpu",
    "VGG-13 (quarter width, batch norm)",
    partial(VGG13, widen=0.25, batch_norm=True),
    ce=_both(_short(4_000)),
    odm=_short(4_000),
    authors=_short(8_000),
    fine_tuning=replace(_short(800), learning_rate=2e-4),
    ccag=_quarter(2_000, 32),
    images=_both(128),
    authors_images=128,
)
PLAIN = Training(
    steps=57_233, learning_rate=2e-4, schedule="constant", drops=(0.6,), augmentation=Augmentation()
)
"""Of Lee et al. for SVHN: Adam, 100 epochs of 128 images, a tenth of the rate after 60, nothing
done to the images."""
PAPER = Scale(
    "paper",
    "VGG-13",
    VGG13,
    ce={SVHN: PLAIN, CIFAR10: replace(PLAIN, steps=78_125)},
    images={SVHN: 128, CIFAR10: 64},
    outs_on_top=True,
    odm=_short(20_000),
    fine_tuning=replace(PLAIN, steps=5_700, drops=()),
    authors=Training(
        steps=60_000,
        learning_rate=1e-4,
        schedule="constant",
        drops=(0.05, 0.75),
        l2=1e-4,
        augmentation=Augmentation(),
    ),
    ccag=dict(zip(IN_DISTS, (CCAG_SVHN, CCAG_CIFAR10), strict=True)),
)


def choose_scale(name: str) -> Scale:
    """The scale of a name.

    Args:
        name: ``quick``, ``cpu`` or ``paper``.

    Raises:
        UserError: another name.
    """
    scales = {scale.name: scale for scale in (QUICK, CPU, PAPER)}
    if name not in scales:
        raise UserError(f"the scale {name!r} was asked for; expected one of {', '.join(scales)}")
    return scales[name]
