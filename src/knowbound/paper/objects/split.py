"""Section 4.1: SVHN and CIFAR-10, each in turn the in-distribution with the other seen, and the
unseen out sets, as ``Split``s."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from knowbound.data.outs.noise import gaussian_noise
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.sets.cifar10 import read_cifar10
from knowbound.data.sets.lsun import present_parts as lsun_parts
from knowbound.data.sets.lsun import read_lsun
from knowbound.data.sets.svhn import read_svhn
from knowbound.data.sets.tiny_imagenet import present_parts as tiny_imagenet_parts
from knowbound.data.sets.tiny_imagenet import read_tiny_imagenet
from knowbound.data.source import Source
from knowbound.data.split import OutSet, Split
from knowbound.errors import UserError
from knowbound.labels import Kind
from knowbound.paper.digits.split import hold_out_last

SVHN, CIFAR10, NOISE = "SVHN", "CIFAR-10", "Gaussian noise"
IN_DISTS = (SVHN, CIFAR10)
SHAPE = Preprocessing(height=32, width=32, channels=3)
VALIDATION_PER_CLASS = 50


@dataclass(frozen=True, eq=False)
class Pictures:
    """All images of Section 4.1, read once: train and test by name, and the two sets that are never
    trained on."""

    train: dict[str, Source]
    test: dict[str, Source]
    unseen: tuple[Source, ...]

    def subset(self, train: int | None, test: int | None) -> "Pictures":
        """Some of the images of each set, drawn with a fixed seed.

        Args:
            train: at most so many training images; None: all.
            test: at most so many test images; None: all.
        """
        return Pictures(
            {name: _at_most(source, train) for name, source in self.train.items()},
            {name: _at_most(source, test) for name, source in self.test.items()},
            tuple(_at_most(source, test) for source in self.unseen),
        )


def read_pictures(root: Path, *, download: bool = False) -> Pictures:
    """The sets below a folder: svhn/, cifar10/, and Tiny ImageNet and LSUN in the first of their
    files that is there.

    The "resize" files of ODIN's authors, on which the paper's numbers were measured, come before
    others; the source's name, which is in every row, says which file it is.

    Args:
        root: the folder.
        download: whether to fetch SVHN and CIFAR-10.

    Raises:
        UserError: a set is missing.
    """
    return Pictures(
        train={
            SVHN: read_svhn(root, "train", download=download),
            CIFAR10: read_cifar10(root, "train", download=download),
        },
        test={
            SVHN: read_svhn(root, "test", download=download),
            CIFAR10: read_cifar10(root, "test", download=download),
        },
        unseen=(
            read_tiny_imagenet(
                root, next(iter(tiny_imagenet_parts(root)), "resize"), SHAPE
            ).without_labels(),
            read_lsun(root, next(iter(lsun_parts(root)), "resize"), SHAPE).without_labels(),
        ),
    )


def table1_split(pictures: Pictures, in_dist: str) -> Split:
    """The split with one of the two sets as what is known and the other as what is seen.

    validation: the last 50 train images of each class, for the thresholds; test: the
    in-distribution test set; unseen out: the test set of the seen kind, Tiny ImageNet, LSUN, and as
    many images of Gaussian noise as the in-distribution test set has.  All are anomalies.

    Args:
        pictures: of all sets.
        in_dist: the name of what is known.

    Raises:
        UserError: another name.
    """
    if in_dist not in IN_DISTS:
        raise UserError(
            f"the in-distribution {in_dist!r} was asked for; expected one of {', '.join(IN_DISTS)}"
        )
    other = CIFAR10 if in_dist == SVHN else SVHN
    train, validation = hold_out_last(pictures.train[in_dist], VALIDATION_PER_CLASS)
    test = pictures.test[in_dist]
    seen, _ = hold_out_last(pictures.train[other], VALIDATION_PER_CLASS)
    noise = gaussian_noise(len(test), test.image_shape, np.random.default_rng(1))
    unseen = (pictures.test[other].without_labels(), *pictures.unseen, noise)
    return Split(
        f"Table 1, {in_dist}",
        train=train,
        validation=validation,
        test=test,
        seen_out=(OutSet(seen.without_labels(), Kind.ANOMALY),),
        unseen_out=tuple(OutSet(source, Kind.ANOMALY) for source in unseen),
    )


def seen_validation(pictures: Pictures, in_dist: str) -> Source:
    """The train images of the seen kind that ``table1_split`` keeps from training: what ODIN's
    values are chosen against.

    Args:
        pictures: of all sets.
        in_dist: the name of what is known.
    """
    other = CIFAR10 if in_dist == SVHN else SVHN
    return hold_out_last(pictures.train[other], VALIDATION_PER_CLASS)[1].without_labels()


def validation_split(split: Split, outs: tuple[OutSet, ...]) -> Split:
    """A split to choose settings with, from training images alone: a tenth of them plays the test
    set.

    Args:
        split: whose training images are taken.
        outs: the unseen sets, none of them of a kind that the table tests on.
    """
    rng = np.random.default_rng(5)
    order = rng.permutation(len(split.train))
    tenth = len(order) // 10
    return replace(
        split,
        name=f"{split.name}, validation",
        train=split.train.take(np.sort(order[tenth:])),
        test=split.train.take(np.sort(order[:tenth])),
        unseen_out=outs,
    )


def _at_most(source: Source, count: int | None) -> Source:
    return (
        source
        if count is None or count >= len(source)
        else source.sample(count, np.random.default_rng(0))
    )
