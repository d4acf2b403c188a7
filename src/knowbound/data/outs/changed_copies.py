"""Synthetic outliers: known images mirrored, flipped or turned, where this makes another class.

A 6 turned by half is no 6; a no-entry sign mirrored is still one.  Which is which no rule says: a
network trained on the known classes alone does.  A class is invariant to a change if its images
so changed are still accepted as that class.  They are not in the paper.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from knowbound.data.outs.made_pixels import made_source
from knowbound.data.source import Source
from knowbound.values import Array, JsonObject

Judge = Callable[[Array], tuple[NDArray[np.bool_], NDArray[np.int64]]]
"""Images (N, C, H, W) -> whether each is accepted (N,), and its nearest class (N,)."""


class Change(StrEnum):
    """A change of a whole image that moves its pixels and invents none."""

    MIRRORED = "mirrored"
    """Left and right exchanged."""
    FLIPPED = "flipped"
    """Top and bottom exchanged."""
    QUARTER = "turned by 90 degrees"
    HALF = "turned by 180 degrees"
    THREE_QUARTERS = "turned by 270 degrees"


TURNS = {Change.QUARTER: 1, Change.HALF: 2, Change.THREE_QUARTERS: 3}
INVERSE = {change: change for change in Change} | {
    Change.QUARTER: Change.THREE_QUARTERS,
    Change.THREE_QUARTERS: Change.QUARTER,
}
"""The change that undoes each."""
SQUARE_ONLY = (Change.QUARTER, Change.THREE_QUARTERS)
"""They would exchange the height and the width."""


def changes_of(image_shape: tuple[int, int, int]) -> tuple[Change, ...]:
    """The changes that keep the shape of an image: all five of a square one, else three.

    Args:
        image_shape: (C, H, W).
    """
    square = image_shape[1] == image_shape[2]
    return tuple(change for change in Change if square or change not in SQUARE_ONLY)


def apply_change(images: Array, change: Change) -> Array:
    """The images changed, a view of the same shape and type.

    Args:
        images: (..., H, W).
        change: turns are counter-clockwise.

    Raises:
        ValueError: a quarter turn of images that are not square.
    """
    if change is Change.MIRRORED:
        return images[..., ::-1]
    if change is Change.FLIPPED:
        return images[..., ::-1, :]
    if change in SQUARE_ONLY and images.shape[-1] != images.shape[-2]:
        raise ValueError(
            f"images of {images.shape[-2]} x {images.shape[-1]} pixels were to be {change}; "
            "expected square ones"
        )
    return np.rot90(images, TURNS[change], axes=(-2, -1))


@dataclass(frozen=True, eq=False)
class Invariances:
    """How each class takes each change.  Not measured is NaN: no images, or no such change.

    accepted: (C, 5) share 0..1 of a class's images that, changed, are still accepted as their
    class, by the order of ``Change``.

    as_another: (C, 5) how far the change exchanges the class with one other known class, as
    mirroring does with left and right arrows: the share accepted as that class, or the share of
    that class's images that the change undone makes of this one, whichever is smaller.  A network
    that takes a mirrored 6 for a 2 does not take a mirrored 2 for a 6, so such a mistake does not
    count.
    """

    class_names: tuple[str, ...]
    accepted: NDArray[np.float64]
    as_another: NDArray[np.float64]
    outlier_below: float = 0.2
    """A change under this share of ``accepted`` makes seen-out images."""
    augmentation_above: float = 0.8
    """A change over this share may serve as augmentation."""
    another_from: float = 0.5
    """From this share of ``as_another`` on a change makes another known class, so no outlier."""

    @property
    def outlier_mask(self) -> NDArray[np.bool_]:
        """(C, 5): which changes of which class make seen-out images."""
        # A comparison with NaN is False, so what was not measured is neither.
        return (self.accepted < self.outlier_below) & (self.as_another < self.another_from)

    @property
    def augmentation_mask(self) -> NDArray[np.bool_]:
        """(C, 5): which classes are invariant to which change."""
        return self.accepted > self.augmentation_above

    @property
    def outs(self) -> tuple[tuple[int, Change], ...]:
        """Each (class, change) that makes seen-out images."""
        return _pairs(self.outlier_mask)

    @property
    def augmentations(self) -> tuple[tuple[int, Change], ...]:
        """Each (class, change) that may serve as augmentation."""
        return _pairs(self.augmentation_mask)

    def to_dict(self) -> JsonObject:
        """As JSON values: for each class and change the share still accepted, None where not
        measured, and what each change serves as."""
        return {
            "outlier_below": self.outlier_below,
            "augmentation_above": self.augmentation_above,
            "another_from": self.another_from,
            "accepted": _by_class(self.class_names, self.accepted),
            "as_another": _by_class(self.class_names, self.as_another),
            "outliers": self._named(self.outs),
            "augmentations": self._named(self.augmentations),
        }

    def _named(self, pairs: Sequence[tuple[int, Change]]) -> dict[str, list[str]]:
        named: dict[str, list[str]] = {}
        for label, change in pairs:
            named.setdefault(self.class_names[label], []).append(str(change))
        return named


def measure_invariances(
    source: Source,
    judge: Judge,
    rng: np.random.Generator,
    *,
    per_class: int = 100,
    batch: int = 512,
) -> Invariances:
    """How each class takes each change, from what a network says of the changed images.

    Args:
        source: images with labels 0..C-1 that the network knows.
        judge: of a network trained on these classes and no seen-out image: images of the source's
            shape and type (N, C, H, W) -> accepted (N,) bool, nearest class (N,).
        rng: draws the images.
        per_class: so many images of each class at most.
        batch: images judged at once.
    """
    classes = len(source.class_names)
    counts = np.zeros((classes, len(Change), classes))
    drawn = [_draw(source, label, per_class, rng) for label in range(classes)]
    indices = np.concatenate([*drawn, np.empty(0, np.int64)])
    usable = [change in changes_of(source.image_shape) for change in Change]
    for start in range(0, len(indices), batch):
        chosen = indices[start : start + batch]
        images = source.images(chosen)
        for number, change in enumerate(Change):
            if not usable[number]:
                continue
            accepted, nearest = judge(np.ascontiguousarray(apply_change(images, change)))
            # which of the (class, class) counts each accepted image adds to
            cell = source.labels[chosen][accepted] * classes + nearest[accepted]
            counts[:, number] += np.bincount(cell, minlength=classes**2).reshape(classes, classes)
    totals = np.array([len(part) for part in drawn], dtype=np.float64)[:, None]
    totals = np.where((totals > 0) & usable, totals, np.nan)
    shares = counts / totals[:, :, None]
    own = np.arange(classes)
    return Invariances(source.class_names, shares[own, :, own], _as_another(shares))


def _as_another(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """``Invariances.as_another`` from the shares (C, 5, C) accepted as each class."""
    order = list(Change)
    undone = shares[:, [order.index(INVERSE[change]) for change in order]]
    both = np.fmin(shares, undone.transpose(2, 1, 0))
    own = np.arange(len(shares))
    both[own, :, own] = 0
    both[np.isnan(shares)] = np.nan
    largest: NDArray[np.float64] = both.max(axis=2, initial=0)
    return largest


@dataclass(frozen=True, eq=False)
class _ChangedCopies:
    """Positions -> images of a source, each with its change."""

    source: Source
    indices: NDArray[np.int64]
    changes: NDArray[np.int64]
    """Positions in ``Change``."""
    order: tuple[Change, ...] = field(default_factory=lambda: tuple(Change))

    def __call__(self, positions: NDArray[np.int64]) -> Array:
        images = self.source.images(self.indices[positions])
        made = np.empty_like(images)
        changes = self.changes[positions]
        for number in np.unique(changes):
            mine = changes == number
            made[mine] = apply_change(images[mine], self.order[number])
        return made


def changed_copies(
    source: Source, invariances: Invariances, count: int, rng: np.random.Generator
) -> Source:
    """``count`` unlabelled images, "changed copies", made when they are asked for.

    Each (class, change) of ``invariances.outs`` is drawn equally often, and of the class an image
    at random.

    Args:
        source: the images that were measured, or others of the same classes.
        invariances: of the source's classes.
        count: images.
        rng: draws them.

    Raises:
        ValueError: other classes than the source's, or no (class, change) that makes outliers.
    """
    if invariances.class_names != source.class_names:
        raise ValueError(
            f"invariances of the classes {invariances.class_names} were given; expected those of "
            f"{source.name!r}: {source.class_names}"
        )
    members = {c: np.flatnonzero(source.labels == c) for c, _ in invariances.outs}
    pairs = [(c, change) for c, change in invariances.outs if len(members[c])]
    if not pairs:
        raise ValueError(
            f"no change of a class of {source.name!r} makes another class; leave changed copies out"
        )
    order = tuple(Change)
    turn = rng.permutation(np.arange(count) % len(pairs))
    labels = np.array([c for c, _ in pairs], dtype=np.int64)[turn]
    changes = np.array([order.index(change) for _, change in pairs], dtype=np.int64)[turn]
    indices = np.empty(count, dtype=np.int64)
    for label in np.unique(labels):
        mine = labels == label
        indices[mine] = rng.choice(members[int(label)], mine.sum())
    make = _ChangedCopies(source, indices, changes)
    return made_source("changed copies", make, count, source.image_shape, source.pixels.dtype)


def _draw(source: Source, label: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    members = np.flatnonzero(source.labels == label)
    return np.sort(rng.choice(members, min(count, len(members)), replace=False))


def _pairs(mask: NDArray[np.bool_]) -> tuple[tuple[int, Change], ...]:
    order = tuple(Change)
    return tuple((int(label), order[number]) for label, number in np.argwhere(mask))


def _by_class(
    names: Sequence[str], shares: NDArray[np.float64]
) -> dict[str, dict[str, float | None]]:
    return {
        name: {
            str(change): None if np.isnan(share) else round(float(share), 4)
            for change, share in zip(Change, row, strict=True)
        }
        for name, row in zip(names, shares, strict=True)
    }
