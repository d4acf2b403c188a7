"""The paper's MNIST experiment (Section 3.3, Figure 1, Supplement B, Table 3) as values: CE, ML and
ODM on one split."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from knowbound.backbones import LeNet
from knowbound.data.augmentation import Augmentation
from knowbound.data.outs.noise import gaussian_noise
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.sets.cifar10 import read_cifar10
from knowbound.data.sets.mnist import read_mnist
from knowbound.data.sets.svhn import read_svhn
from knowbound.data.source import Source
from knowbound.data.split import OutSet, Split
from knowbound.detectors import MaxSoftmax, NearestCentre
from knowbound.experiment import Experiment
from knowbound.labels import Kind
from knowbound.objectives import Contrastive, CrossEntropy
from knowbound.training.settings import Training

IN_CLASSES, SEEN_CLASSES, UNSEEN_CLASSES = ("2", "6", "7"), ("0", "3", "4", "8"), ("5", "9", "1")
SHAPE = Preprocessing(height=28, width=28, channels=1)
VALIDATION_PER_CLASS = 500
NOISE_IMAGES = 10_000


def mnist_split(root: Path, *, download: bool = False) -> Split:
    """2, 6, 7 in; 0, 3, 4, 8 seen out; 5, 9, 1 unseen novelty; Gaussian noise, SVHN and CIFAR-10
    test sets unseen anomalies.

    500 images of each in class, the last of the official train set, are held out for thresholds and
    choices.  SVHN and CIFAR-10 become 28 x 28 grey images.

    Args:
        root: the folder that holds mnist/, svhn/ and cifar10/.
        download: whether to fetch missing files.

    Raises:
        UserError: files are missing.
    """
    train, test = (
        read_mnist(root, "train", download=download),
        read_mnist(root, "test", download=download),
    )
    inside = train.take_classes(IN_CLASSES, "MNIST 2, 6, 7")
    kept, held_out = hold_out_last(inside, VALIDATION_PER_CLASS)
    noise = gaussian_noise(
        NOISE_IMAGES, (1, SHAPE.height, SHAPE.width), np.random.default_rng(2018)
    )
    svhn, cifar10 = (read(root, "test", download=download) for read in (read_svhn, read_cifar10))
    return Split(
        "2, 6, 7 of MNIST",
        train=kept,
        validation=held_out,
        test=test.take_classes(IN_CLASSES, "MNIST 2, 6, 7"),
        seen_out=(
            OutSet(
                train.take_classes(SEEN_CLASSES, "MNIST 0, 3, 4, 8").without_labels(), Kind.NOVELTY
            ),
        ),
        unseen_out=(
            OutSet(test.take_classes(UNSEEN_CLASSES, "Novelty").without_labels(), Kind.NOVELTY),
            OutSet(noise, Kind.ANOMALY),
            OutSet(SHAPE.apply(svhn.without_labels()), Kind.ANOMALY),
            OutSet(SHAPE.apply(cifar10.without_labels()), Kind.ANOMALY),
        ),
    )


def mnist_validation_split(root: Path) -> Split:
    """The split on which settings are chosen: official train images only, and no image or class of
    the unseen outs.

    0, 3, 4 are seen and 8 plays the novelty; noise of another seed, and train images of SVHN and
    CIFAR-10, the anomalies.
    """
    train = read_mnist(root, "train")
    kept, held_out = hold_out_last(
        train.take_classes(IN_CLASSES, "MNIST 2, 6, 7"), 2 * VALIDATION_PER_CLASS
    )
    calibration, test = hold_out_last(held_out, VALIDATION_PER_CLASS)
    noise = gaussian_noise(2000, (1, SHAPE.height, SHAPE.width), np.random.default_rng(1812))
    svhn, cifar10 = (
        read(root, "train").sample(2000, np.random.default_rng(0))
        for read in (read_svhn, read_cifar10)
    )
    return Split(
        "validation of 2, 6, 7 of MNIST",
        train=kept,
        validation=calibration,
        test=test,
        seen_out=(
            OutSet(
                train.take_classes(SEEN_CLASSES[:3], "MNIST 0, 3, 4").without_labels(), Kind.NOVELTY
            ),
        ),
        unseen_out=(
            OutSet(train.take_classes(SEEN_CLASSES[3:], "Novelty").without_labels(), Kind.NOVELTY),
            OutSet(noise, Kind.ANOMALY),
            OutSet(SHAPE.apply(svhn.without_labels()), Kind.ANOMALY),
            OutSet(SHAPE.apply(cifar10.without_labels()), Kind.ANOMALY),
        ),
    )


def hold_out_last(source: Source, per_class: int) -> tuple[Source, Source]:
    """(the rest, the last ``per_class`` images of each class in file order)."""
    last = np.concatenate(
        [np.flatnonzero(source.labels == c)[-per_class:] for c in range(len(source.class_names))]
    )
    rest = np.setdiff1d(np.arange(len(source)), last)
    return source.take(rest), source.take(np.sort(last))


def mnist_experiments(
    split: Split, seed: int, *, experiment: str = "table3", dim: int = 5
) -> tuple[Experiment, ...]:
    """CE, ML and ODM on one budget of steps: 5-dimensional embeddings for ML and ODM, 3 logits for
    CE (Supplement B).

    Args:
        split: of ``mnist_split``.
        seed: of the trainings.
        experiment: name of the table.
        dim: length of the embeddings.
    """
    odm = Experiment(
        experiment=experiment,
        scale="cpu",
        method="ODM",
        split=split,
        backbone=partial(LeNet, channels=1, height=28, width=28),
        backbone_name="LeNet",
        objective=Contrastive(margin=10.0, dim=dim),
        detector=NearestCentre,
        training=Training(
            steps=1500,
            learning_rate=2e-3,
            augmentation=Augmentation(shift=2),
            channels_last=True,
            compile=False,
            seed=seed,
        ),
    )
    ml = replace(odm, method="ML", split=split.without_seen_out())
    ce = replace(ml, method="CE", objective=CrossEntropy(), detector=MaxSoftmax)
    return ce, ml, odm
