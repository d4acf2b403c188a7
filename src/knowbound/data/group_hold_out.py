"""Which images to hold out so that whole groups (copies, tracks, frames) stay on one side."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from knowbound.errors import UserError

Indices = NDArray[np.int64]


def hold_out_groups(
    labels: Indices,
    groups: Indices | None,
    share: float,
    rng: np.random.Generator,
    least: int = 0,
    *,
    class_names: Sequence[str] = (),
) -> Indices:
    """Sorted indices of the images to hold out: a random ``share`` of each class's groups, and more
    of the largest classes until there are ``least`` groups.

    Of every class at least one group is held out, and two images stay to learn from.  Where every
    group is one image, the images are drawn as if there were no groups.

    Args:
        labels: (N,) classes 0..C-1.
        groups: (N,) the group of each image, of any numbers; a group may have images of several
            classes.  None: each image is a group.
        share: of a class's groups, above 0 and below 1.
        rng: draws the groups.
        least: groups that must be held out, such as ``least_groups`` of the threshold.
        class_names: (C,) for the errors.

    Raises:
        UserError: a class too small to give both, or fewer than ``least`` groups to give.
    """
    if not 0 < share < 1:
        raise UserError(
            f"a held-out share of {share} was asked for; expected one between 0 and 1, such as 0.1"
        )
    names = class_names or [str(c) for c in range(int(labels.max(initial=-1)) + 1)]
    draw = _Draw(labels, groups, len(names))
    draw.refuse_small(names)
    wanted = _wanted(draw.counts, share, least)
    for label, number in enumerate(wanted):
        draw.take(label, int(number), rng)
    draw.top_up(least, rng)
    draw.refuse_lack(names, least)
    return np.flatnonzero(draw.held[draw.group_of])


def draw_share(labels: Indices, groups: Indices, share: float, rng: np.random.Generator) -> Indices:
    """Sorted indices of the images of a random ``share`` of each class's groups, rounded down, so
    that every class that had a group keeps one.

    Args:
        labels: (N,) classes 0..C-1.
        groups: (N,) the group of each image; one with images of several classes counts for that of
            its first image.
        share: from 0 to below 1.
        rng: draws the groups.
    """
    ids, first = np.unique(groups, return_index=True)
    drawn = []
    for label in range(int(labels.max(initial=-1)) + 1):
        own = ids[labels[first] == label]
        drawn.append(rng.choice(own, int(share * len(own)), replace=False))
    return np.flatnonzero(np.isin(groups, np.concatenate([*drawn, ids[:0]])))


def _wanted(counts: Indices, share: float, least: int) -> Indices:
    """(C,) groups to hold out of each class, of ``counts`` (C,) that it has."""
    most = np.maximum(counts - 2, 1)
    wanted: Indices = np.minimum(np.maximum(1, np.rint(share * counts).astype(np.int64)), most)
    while wanted.sum() < min(least, most.sum()):
        wanted[np.argmax(np.where(wanted < most, counts - wanted, -1))] += 1
    return wanted


class _Draw:
    """The groups drawn so far, and the images of each class that are left."""

    def __init__(self, labels: Indices, groups: Indices | None, classes: int) -> None:
        ids = np.arange(len(labels)) if groups is None else groups
        _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
        rank = np.empty(len(first), np.int64)
        rank[np.argsort(first)] = np.arange(len(first))
        self.group_of = rank[inverse]
        cells, self.images = np.unique(
            labels * len(first) + self.group_of, return_counts=True
        )  # a cell: the images of one class in one group
        self.label, self.group = np.divmod(cells, max(len(first), 1))
        self.counts = np.bincount(self.label, minlength=classes)
        self.left = np.bincount(labels, minlength=classes)
        self.held = np.zeros(len(first), dtype=bool)
        order = np.argsort(self.group, kind="stable")
        self.parts = np.split(order, np.cumsum(np.bincount(self.group))[:-1])

    def take(self, label: int, number: int, rng: np.random.Generator) -> None:
        """Draw groups of a class until ``number`` of them are held, where that can be."""
        own = self.group[self.label == label]
        number -= int(self.held[own].sum())
        free = own[~self.held[own]]
        if number <= 0 or not len(free):
            return
        drawn = rng.choice(free, min(number, len(free)), replace=False)
        refused = sum(not self._hold(group) for group in drawn)
        if refused:
            for group in rng.permutation(np.setdiff1d(free, drawn)):
                refused -= self._hold(group)
                if not refused:
                    return

    def top_up(self, least: int, rng: np.random.Generator) -> None:
        """Draw further groups of any class until there are ``least``: needed where groups have
        images of several classes."""
        if self.held.sum() < least:
            for group in rng.permutation(np.flatnonzero(~self.held)):
                if self.held.sum() >= least:
                    return
                self._hold(group)

    def _hold(self, group: int) -> bool:
        """Hold a group out, unless fewer than two images of a class would be left."""
        part = self.parts[group]
        left = self.left[self.label[part]] - self.images[part]
        if (left < 2).any():
            return False
        self.left[self.label[part]] = left
        self.held[group] = True
        return True

    def refuse_small(self, names: Sequence[str]) -> None:
        few = [
            f"{name} ({images})"
            if images == groups
            else f"{name} ({images} in {groups} {'group' if groups == 1 else 'groups'})"
            for name, images, groups in zip(names, self.left, self.counts, strict=True)
            if images < 3 or groups < 2
        ]
        if few:
            grouped = (self.counts < self.left).any()
            raise UserError(
                f"too few usable images of {', '.join(few)}; expected at least 3 of each class (2 "
                "to learn from, 1 to set the threshold with)"
                + (
                    ", in at least 2 groups: add images, or group them in another way (--group-by)"
                    if grouped
                    else ": add images or remove the folder"
                )
            )

    def refuse_lack(self, names: Sequence[str], least: int) -> None:
        held = set(self.label[self.held[self.group]].tolist())
        none = [name for label, name in enumerate(names) if label not in held]
        if none:
            raise UserError(
                f"no group of {', '.join(none)} can be held out so that 2 images of each class "
                "stay to learn from; expected groups that are smaller: add images, or group them "
                "in another way"
            )
        count = int(self.held.sum())
        if count < least:
            grouped = len(self.held) < len(self.group_of)
            raise UserError(
                f"of {len(self.group_of)} images "
                + (f"in {len(self.held)} groups " if grouped else "")
                + f"at most {count} {'groups ' if grouped else ''}can be held out, as 2 of each "
                f"class stay to learn from; expected at least {least} to set the threshold with: "
                "add images, or choose an acceptance of at most "
                f"{math.floor(100 * (1 - 1 / (count + 1))) / 100:g}"
            )
