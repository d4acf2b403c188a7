"""Which images go together: labels -> index lists.  Two builders: balanced classes, and the
authors' own."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from knowbound.errors import UserError
from knowbound.objectives.objective import Batches

Indices = NDArray[np.int64]


def group_indices(labels: Indices) -> tuple[list[Indices], list[Indices]]:
    """Image indices by class, and by set of out-of-distribution images.

    Sets of out-of-distribution images may be told apart by the labels -1, -2, ... so that a small
    set is drawn as often as a large one.  No loss looks at the difference.

    Args:
        labels: (N,) in 0..C-1, or below 0.

    Returns:
        C groups of indices, and one for each distinct label below 0.
    """
    order = np.argsort(labels, kind="stable")
    values, starts = np.unique(labels[order], return_index=True)
    groups = np.split(order, starts[1:])
    classes = [group for value, group in zip(values, groups, strict=True) if value >= 0]
    outs = [group for value, group in zip(values, groups, strict=True) if value < 0][::-1]
    return classes, outs


def draw(group: Indices, count: int, rng: np.random.Generator) -> Indices:
    """Images of a group, without repeats where it has enough.

    Args:
        group: indices to draw from.
        count: how many to draw.
        rng: draws them.
    """
    if count <= len(group):
        return rng.choice(group, count, replace=False, shuffle=False)
    return np.concatenate(
        [np.tile(group, count // len(group)), rng.choice(group, count % len(group), replace=False)]
    )


def shares(total: int, parts: int, step: int) -> list[int]:
    """A total in nearly equal whole numbers; the larger ones rotate with the step so that none is
    favoured.

    Args:
        total: their sum.
        parts: how many.
        step: of the training.
    """
    return [total // parts + ((part - step) % parts < total % parts) for part in range(parts)]


@dataclass(frozen=True)
class BalancedBatches:
    """P classes with the same number of images each, and out-of-distribution images where there are
    any.

    Attributes:
        images: in-distribution images in a batch.
        outs: out-of-distribution images on top, shared equally among their sets, whatever the sets'
            sizes; with more sets than places they take turns.
        per_class: at least so many of a class, which bounds P; with few classes every class is in
            every batch.

    Raises:
        ValueError: numbers that give no batch.
    """

    images: int = 128
    outs: int = 128
    per_class: int = 4

    def __post_init__(self) -> None:
        if self.images < 1 or self.outs < 0 or self.per_class < 1:
            raise ValueError(
                f"batches of {self.images} in-distribution and {self.outs} out-of-distribution "
                f"images, {self.per_class} of a class, were asked for; expected at least 1 "
                "in-distribution, 0 out-of-distribution, 1 of a class"
            )

    def plan(self, labels: Indices, seed: int) -> Batches:
        """The batches for these labels.

        Args:
            labels: (N,) in 0..C-1, or below 0 for out-of-distribution images.
            seed: of the draws.

        Raises:
            UserError: there is no class to learn.
        """
        classes, outs = group_indices(labels)
        if not classes:
            raise UserError(
                "there is no labelled image to train on; expected at least two classes of images"
            )
        return _Balanced(self, classes, outs, seed)

    def without_outs(self) -> "BalancedBatches":
        """The same number of images in a batch, all of them in-distribution."""
        return replace(self, images=self.images + self.outs, outs=0)


@dataclass(frozen=True, eq=False)
class _Balanced:
    rule: BalancedBatches
    classes: list[Indices]
    out_sets: list[Indices]
    seed: int

    def __getitem__(self, step: int) -> Indices:
        rng = np.random.default_rng([self.seed, step])
        count = max(1, min(len(self.classes), self.rule.images // self.rule.per_class))
        chosen = rng.choice(len(self.classes), count, replace=False)
        picked = [
            draw(self.classes[c], n, rng)
            for c, n in zip(chosen, shares(self.rule.images, count, step), strict=True)
        ]
        if self.out_sets:
            parts = shares(self.rule.outs, len(self.out_sets), step)
            picked += [draw(group, n, rng) for group, n in zip(self.out_sets, parts, strict=True)]
        return np.concatenate(picked)


@dataclass(frozen=True)
class AuthorsBatches:
    """The batches of the authors' released Table 1 run, for partner pairs: image i goes with image
    i + images / 2.

    The left half is drawn at random.  ``same`` of the partners in the right half are of their
    image's class, the others of another one.  In every second batch the last quarter of the whole
    batch, half of the partners, is replaced by out-of-distribution images, so that over two batches
    a quarter of all pairs has one (Section 4.1).  The same-class partners stand first, so it is
    different-class pairs that make room for them.
    """

    images: int = 1024
    same: float = 0.25

    def __post_init__(self) -> None:
        if self.images < 4 or self.images % 4 or not 0 <= self.same <= 1:
            raise ValueError(
                f"batches of {self.images} images, a share of {self.same} of the partners of the "
                "same class, were asked for; expected a multiple of 4, and a share in [0, 1]"
            )

    def plan(self, labels: Indices, seed: int) -> Batches:
        """The batches for these labels.

        Args:
            labels: (N,) in 0..C-1, or below 0 for out-of-distribution images.
            seed: of the draws.

        Raises:
            UserError: there are no two classes to form pairs from.
        """
        classes, outs = group_indices(labels)
        if len(classes) < 2:
            raise UserError(
                f"pairs of images were asked for, but there is {len(classes)} class; expected at "
                "least two classes"
            )
        return _Authors(self, labels, classes, outs, seed)

    def without_outs(self) -> "AuthorsBatches":
        """The same rule, which takes no out-of-distribution image where there is none."""
        return self


@dataclass(frozen=True, eq=False)
class _Authors:
    rule: AuthorsBatches
    labels: Indices
    classes: list[Indices]
    out_sets: list[Indices]
    seed: int

    def __getitem__(self, step: int) -> Indices:
        rng = np.random.default_rng([self.seed, step])
        half = self.rule.images // 2
        inside = np.concatenate(self.classes)
        left = rng.choice(inside, half)
        wanted = np.searchsorted(
            [self.labels[group[0]] for group in self.classes], self.labels[left]
        )
        same = round(self.rule.same * half)
        other = (wanted + rng.integers(1, len(self.classes), half)) % len(self.classes)
        partner = np.where(np.arange(half) < same, wanted, other)
        right = np.array([rng.choice(self.classes[c]) for c in partner], dtype=np.int64)
        if self.out_sets and step % 2 == 1:
            quarter = self.rule.images // 4
            right[half - quarter :] = rng.choice(np.concatenate(self.out_sets), quarter)
        return np.concatenate([left, right])


@dataclass(frozen=True)
class RandomBatches:
    """In-distribution images drawn at random, epoch by epoch without repeats: what cross-entropy is
    trained on."""

    images: int = 128

    def __post_init__(self) -> None:
        if self.images < 1:
            raise ValueError(f"batches of {self.images} images were asked for; expected at least 1")

    def plan(self, labels: Indices, seed: int) -> Batches:
        """The batches for these labels; out-of-distribution images are never drawn.

        Args:
            labels: (N,) in 0..C-1, or below 0 for out-of-distribution images.
            seed: of the draws.
        """
        return _Random(self.images, _inside(labels), seed)

    def without_outs(self) -> "RandomBatches":
        """The same rule."""
        return self


@dataclass(frozen=True)
class RandomBatchesWithOuts:
    """The in-distribution images of ``RandomBatches`` and, behind them, out-of-distribution images
    drawn in the same way.

    Both kinds have epochs of their own, without repeats.

    Attributes:
        images: in-distribution images in a batch, 1 or more.
        outs: out-of-distribution images on top, 1 or more, from all their sets together, so that a
            large set is drawn more often than a small one.

    Raises:
        ValueError: numbers below 1.
    """

    images: int = 64
    outs: int = 64

    def __post_init__(self) -> None:
        if self.images < 1 or self.outs < 1:
            raise ValueError(
                f"batches of {self.images} in-distribution and {self.outs} out-of-distribution "
                "images were asked for; expected both above 0"
            )

    def plan(self, labels: Indices, seed: int) -> Batches:
        """The batches for these labels.

        Raises:
            UserError: there is no in-distribution, or no out-of-distribution image to draw.
        """
        outside = np.flatnonzero(labels < 0)
        if not len(outside):
            raise UserError(
                "there is no image of none of the classes, but the objective learns from them; give "
                "a set of out-of-distribution images, or take cross-entropy"
            )
        return _RandomWithOuts(
            _Random(self.images, _inside(labels), seed), _Random(self.outs, outside, seed, stream=1)
        )

    def without_outs(self) -> RandomBatches:
        """The same number of images in a batch, all of them in-distribution."""
        return RandomBatches(self.images + self.outs)


def _inside(labels: Indices) -> Indices:
    inside = np.flatnonzero(labels >= 0)
    if not len(inside):
        raise UserError(
            "there is no labelled image to train on; expected at least two classes of images"
        )
    return inside


@dataclass(eq=False)
class _Random:
    """``count`` images of a group a step; streams of one seed are independent, stream 0 is the
    seed's own."""

    count: int
    group: Indices
    seed: int
    stream: int = 0

    def __post_init__(self) -> None:
        self._epoch, self._order = -1, self.group

    def _in_epoch(self, epoch: int) -> Indices:
        if (
            epoch != self._epoch
        ):  # a function of (seed, epoch, stream) alone; kept because the next step asks for it again
            self._order = np.random.default_rng([self.seed, epoch, self.stream]).permutation(
                self.group
            )
            self._epoch = epoch
        return self._order

    def __getitem__(self, step: int) -> Indices:
        positions = np.arange(step * self.count, (step + 1) * self.count)
        epochs = positions // len(self.group)
        parts = [
            self._in_epoch(int(e))[positions[epochs == e] % len(self.group)]
            for e in np.unique(epochs)
        ]
        return np.concatenate(parts)


@dataclass(frozen=True, eq=False)
class _RandomWithOuts:
    inside: _Random
    outside: _Random

    def __getitem__(self, step: int) -> Indices:
        return np.concatenate([self.inside[step], self.outside[step]])
