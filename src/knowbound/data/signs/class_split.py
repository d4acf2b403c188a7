"""Random splits of classes that keep groups of look-alike classes whole."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def split_classes(
    groups: Sequence[Sequence[str]], shares: Sequence[float], rng: np.random.Generator
) -> tuple[tuple[str, ...], ...]:
    """The classes in as many parts as there are shares, no group divided (Section 4.2: 50/20/30%).

    The parts have the sizes of ``part_sizes`` where whole groups allow.  The largest groups are
    placed first, so that small ones fill the gaps; each goes to a part drawn with a chance
    proportional to the room left among those where it fits, or to the part with the most room where
    it fits nowhere.  Inside a part the classes keep the order given.

    Args:
        groups: names of classes, each in one group; a class that may go anywhere is a group of its
            own.
        shares: the wanted share of the classes of each part; they sum to 1.
        rng: draws the parts.

    Raises:
        ValueError: a class in two groups, an empty group, or shares that do not sum to 1.
    """
    classes = [name for group in groups for name in group]
    if len(set(classes)) < len(classes) or not all(groups):
        raise ValueError(
            f"groups {groups} repeat a class or one is empty; expected every class in exactly one "
            "group"
        )
    room = part_sizes(len(classes), shares)
    part_of: dict[str, int] = {}
    shuffled = rng.permutation(len(groups)).tolist()
    order = sorted(shuffled, key=lambda index: -len(groups[index]))  # stable: ties stay random
    for index in order:
        part = _draw_part(room, len(groups[index]), rng)
        room[part] -= len(groups[index])
        part_of.update(dict.fromkeys(groups[index], part))
    return tuple(
        tuple(name for name in classes if part_of[name] == part) for part in range(len(shares))
    )


def part_sizes(count: int, shares: Sequence[float]) -> NDArray[np.int64]:
    """A count divided into whole numbers with that sum: the largest remainders are rounded up.

    Args:
        count: to be divided.
        shares: (P,) that sum to 1.

    Returns:
        (P,) int64.
    """
    if not shares or min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
        raise ValueError(
            f"shares {tuple(shares)} were given; expected numbers of at least 0 that sum to 1"
        )
    exact = np.asarray(shares, dtype=np.float64) * count
    sizes = np.floor(exact + 1e-9).astype(np.int64)
    largest_remainders = np.argsort(sizes - exact, kind="stable")[: count - int(sizes.sum())]
    sizes[largest_remainders] += 1
    return sizes


def _draw_part(room: NDArray[np.int64], size: int, rng: np.random.Generator) -> int:
    chance = np.where(room >= size, room, 0).astype(np.float64)
    if chance.sum() == 0:
        return int(room.argmax())
    return int(rng.choice(len(room), p=chance / chance.sum()))
