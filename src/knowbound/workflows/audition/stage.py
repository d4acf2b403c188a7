"""The images of an audition: which classes no candidate learns, and what all are judged on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knowbound.data.group_hold_out import hold_out_groups
from knowbound.data.groups import group_images
from knowbound.data.pictures.folder import FolderRead
from knowbound.data.pictures.picture_lists import Listing
from knowbound.data.source import Source
from knowbound.errors import UserError

LEFT_OUT = 1 / 3
"""Share of the classes that no candidate learns."""
HELD_OUT = 0.3
"""Share of each other class that the candidates are judged on."""


@dataclass(frozen=True, eq=False)
class Stage:
    """The images of an audition: which are learned, and which are judged.

    small: as the trained network takes them, labels of all classes; large: some of them as the
    frozen network takes them; shared: (L,) which image of ``small`` each of ``large`` is;
    known: labels of the classes that are learned; judged: (L,) which of ``large`` are held out.
    """

    small: FolderRead
    large: FolderRead
    shared: NDArray[np.int64]
    groups: NDArray[np.int64]
    known: NDArray[np.int64]
    judged: NDArray[np.bool_]

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """(L,) which of ``large`` are of a learned class."""
        return np.isin(self.large.source.labels, self.known)

    @property
    def names(self) -> list[str]:
        """Of the learned classes."""
        return [self.large.source.class_names[label] for label in self.known]

    @property
    def learned_small(self) -> Source:
        """What the trained network learns: no image of a group that is judged."""
        judged = np.unique(self.groups[self.shared[self.judged & self.is_known]])
        free = ~np.isin(self.groups, judged)
        labels = self.small.source.labels
        mine = self.small.source.take(np.flatnonzero(free & np.isin(labels, self.known)))
        return mine.take_classes([self.small.source.class_names[label] for label in self.known])


def sample_listing(listing: Listing, most: int) -> Listing:
    """At most about ``most`` files of a listing, as many of each class as there are of it up to an
    equal share, evenly spaced.

    Args:
        listing: with classes.
        most: files.
    """
    classes = np.array(listing.classes)
    share = max(1, most // max(1, len(listing.class_names)))
    kept: list[int] = []
    for name in listing.class_names:
        own = np.flatnonzero(classes == name)
        spaced = np.linspace(0, len(own) - 1, min(share, len(own))).round().astype(int)
        kept += own[spaced].tolist() if len(own) else []
    kept.sort()
    return Listing(
        [listing.files[k] for k in kept],
        [listing.classes[k] for k in kept],
        list(listing.class_names),
    )


def set_stage(
    small: FolderRead,
    large: FolderRead,
    group_by: str,
    seed: int,
    alike: NDArray[np.int64] | None = None,
) -> Stage | None:
    """Which classes are left out and which images are judged; None where a class has too few.

    A class is not left out together with the one that it is most alike: the classes that nobody
    taught are like those that somebody did.

    Args:
        small: as the trained network takes them.
        large: of the same files or some of them.
        group_by: as in ``group_images``.
        seed: of the draw.
        alike: (C,) the class that each is most alike; None: not known.
    """
    rng = np.random.default_rng([seed, 7])
    place = {path: index for index, path in enumerate(small.paths)}
    classes = len(large.source.class_names)
    same = small.source.class_names == large.source.class_names
    if classes < 2 or not same or set(large.paths) - set(place):
        return None
    shared = np.array([place[path] for path in large.paths], dtype=np.int64)
    groups = group_images(small.source, list(small.paths), group_by).ids
    left = left_out_classes(rng.permutation(classes), alike)
    known = np.setdiff1d(np.arange(classes), left)
    labels = large.source.labels
    inside = np.flatnonzero(np.isin(labels, known))
    relabelled = np.searchsorted(known, labels[inside])
    try:
        held = hold_out_groups(relabelled, groups[shared[inside]], HELD_OUT, rng)
    except UserError:
        return None
    judged = ~np.isin(labels, known)
    judged[inside[held]] = True
    return Stage(small, large, shared, groups, known, judged)


def left_out_classes(
    order: NDArray[np.int64], alike: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """The classes that no candidate learns: a share of them, none together with the one that it is
    most alike.

    Args:
        order: (C,) the classes, in the order in which they are asked.
        alike: (C,) the class that each is most alike; None: not known.
    """
    left: list[int] = []
    for label in order.tolist():
        if len(left) == int(LEFT_OUT * len(order)):
            break
        others = [] if alike is None else [int(alike[label]), *np.flatnonzero(alike == label)]
        if not set(others) & set(left):
            left.append(label)
    return np.array(left, dtype=np.int64)
