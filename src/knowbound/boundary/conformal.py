"""Split-conformal arithmetic: where among held-out scores a threshold lies that keeps a promise,
and how many groups of held-out images a promise takes.

``threshold`` holds what comes of it; the promises are described there.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv

from knowbound.boundary.selective_risk import least_accepted
from knowbound.errors import UserError

By = Literal["all", "class"]
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
ROUNDING = 1e-9
"""Of sums of shares such as 1/3: far below the share of any image."""
ERROR_CONFIDENCE = 0.95
"""Of a largest error, where no confidence is stated."""


def least_groups(
    acceptance: float, confidence: float | None = None, max_error: float | None = None
) -> int:
    """The fewest held-out groups that can promise an acceptance: 19 for 0.95 on average, 59 for it
    with a confidence of 0.95; and, of those accepted, a largest error.

    Args:
        acceptance: above 0 and below 1.
        confidence: None: the acceptance on average.
        max_error: share of accepted images with the wrong class; None: none is promised.
    """
    if max_error is not None:
        groups = least_groups(acceptance, confidence)
        while lacking := _lacking(groups, acceptance, confidence, max_error):
            groups += lacking
        return groups
    average = math.ceil(1 / (1 - acceptance) - ROUNDING) - 1
    if confidence is None:
        return max(1, average)
    stated = math.ceil(math.log(1 - confidence) / math.log(acceptance) - ROUNDING)
    return max(1, average, stated)


def _lacking(groups: int, acceptance: float, confidence: float | None, max_error: float) -> int:
    """How many more accepted groups, of one right image each, it takes to show the error."""
    accepted = math.ceil(_target(groups, acceptance, confidence, single=True) - ROUNDING)
    least = least_accepted(max_error, confidence or ERROR_CONFIDENCE, accepted)
    return max(0, least - accepted)


def check_error(max_error: float, by: By) -> None:
    """Check a largest error.

    Args:
        max_error: share of accepted images with the wrong class.
        by: how thresholds are set.

    Raises:
        UserError: it is no share, or was asked for together with thresholds by class.
    """
    check_share("a largest error", max_error, such_as=0.01)
    if by == "class":
        raise UserError(
            f"a largest error of {max_error:g} was asked for together with a threshold for each "
            "class; expected one or the other, as the error is promised over all classes: leave "
            "--per-class out"
        )


class Calibrated(NamedTuple):
    """What one pool of held-out images gives: see the buffers of ``Threshold``."""

    threshold: float
    level: float
    position: tuple[float, float]
    groups: int
    images: int
    held: Floats
    at_least: Floats


def calibrate_pool(
    scores: Floats, ids: Indices, acceptance: float, confidence: float | None
) -> Calibrated:
    """The threshold of one pool of held-out images, and what it rests on.

    Args:
        scores: (N,) higher = more out-of-distribution.
        ids: (N,) the group of each image.
        acceptance: share of new known images to accept, above 0 and below 1.
        confidence: None promises it on average; else in so many of all draws.
    """
    _, group, sizes = np.unique(ids, return_inverse=True, return_counts=True)
    count = len(sizes)
    order = np.lexsort((group, scores))
    held, owner = scores[order], group[order]
    last = np.append((held[1:] != held[:-1]) | (owner[1:] != owner[:-1]), True)
    reached = np.cumsum(1 / sizes[owner])[last]  # equal scores of one group count together
    return positioned(Held(held[last], reached, count, len(scores)), acceptance, confidence)


class Held(NamedTuple):
    """The held-out images of one pool: distinct (score, group) in rising order, and how many
    groups, in shares, lie at or below each."""

    scores: Floats
    reached: Floats
    groups: int
    images: int


def positioned(pool: Held, acceptance: float, confidence: float | None) -> Calibrated:
    """The smallest held-out score at or below which as many groups lie as the promise takes.

    Args:
        pool: of held-out images.
        acceptance: as in ``calibrate_pool``.
        confidence: as in ``calibrate_pool``.
    """
    held, reached, count, images = pool
    target = _target(count, acceptance, confidence, single=count == images)
    at = int(np.searchsorted(reached, target - ROUNDING))
    equal = int(np.searchsorted(held, held[at], side="right")) - 1
    before = np.concatenate([[0.0], reached[:-1]])
    return Calibrated(
        threshold=float(held[at]),
        level=1 - acceptance if confidence is None else 1 - target / (count + 1),
        position=(float(reached[at]), float(reached[equal])),
        groups=count,
        images=images,
        held=np.append(held, math.inf),
        at_least=np.append(count - before, 0.0),
    )


def _target(groups: int, acceptance: float, confidence: float | None, *, single: bool) -> float:
    """How many groups, in shares, must lie at or below the threshold."""
    average = (groups + 1) * acceptance
    if confidence is None:
        return average
    k = np.arange(max(1, math.ceil(average - ROUNDING)), groups + 1)
    binomial = betainc(k, groups - k + 1, acceptance)  # P(Binomial(groups, acceptance) >= k)
    chance = (
        binomial if single else np.minimum(math.e * binomial, _hoeffding(k, groups, acceptance))
    )
    return float(k[np.flatnonzero(chance <= (1 - confidence) * (1 + ROUNDING))[0]])


def _hoeffding(k: Indices, groups: int, mean: float) -> Floats:
    """Bound on the chance that G numbers in [0, 1] of this mean sum up to ``k`` >= G mean or more
    (Hoeffding 1963, Theorem 1)."""
    share = k / groups
    rest = np.where(share < 1, (1 - share) * np.log(np.maximum(1 - share, 1e-300) / (1 - mean)), 0)
    return np.exp(-groups * (share * np.log(share / mean) + rest))


def pools_of(classes: Indices, ids: Indices, count: int, least: int, by: By) -> Indices:
    """The pool of each class, (C,): its own where it has enough groups, else that of the smallest
    classes together.

    Args:
        classes: (N,) of the held-out images, in 0..C-1.
        ids: (N,) the group of each.
        count: C.
        least: groups that a pool takes.
        by: ``all`` puts every class into pool 0.
    """
    if by == "all":
        return np.zeros(count, np.int64)
    sizes = np.bincount(cells_of(classes, ids)[0], minlength=count)
    order = np.argsort(sizes, kind="stable")
    small = int((sizes < least).sum())
    while 0 < small < count and _groups_in(order[:small], classes, ids) < least:
        small += 1
    pool = np.empty(count, np.int64)
    pool[order[:small]] = 0
    own = np.sort(order[small:])
    pool[own] = np.arange(len(own)) + (small > 0)
    return pool


def _groups_in(chosen: Indices, classes: Indices, ids: Indices) -> int:
    return len(np.unique(ids[np.isin(classes, chosen)]))


def cells_of(classes: Indices, ids: Indices) -> tuple[Indices, Indices]:
    """The class of each pair of class and group that occurs, (K,), and each image's pair, (N,).

    Args:
        classes: (N,) from 0 on.
        ids: (N,) the group of each.
    """
    _, group = np.unique(ids, return_inverse=True)
    width = int(group.max(initial=0)) + 1
    cells, cell = np.unique(classes * width + group, return_inverse=True)
    return cells // width, cell


def acceptance_quantiles(positions: Floats, groups: Floats, tail: float) -> tuple[float, float]:
    """The quantiles ``tail`` and 1 - ``tail`` of the acceptance of new images over all pools.

    Args:
        positions: (P,) groups, in shares, at or below each pool's threshold.
        groups: (P,) of each pool.
        tail: above 0 and below 0.5.
    """
    weights = groups / groups.sum()
    means = positions / (groups + 1)
    mean = float(weights @ means)
    variance = float(weights**2 @ (means * (1 - means) / (groups + 2)))
    size = mean * (1 - mean) / variance - 1
    below, above = betaincinv(mean * size, (1 - mean) * size, [tail, 1 - tail])
    return float(below), float(above)


def chance_of_at_most(accepted: Floats, count: Indices, acceptance: float) -> Floats:
    """P(Binomial(count, acceptance) <= accepted).

    Args:
        accepted: (C,) whole numbers.
        count: (C,) of trials.
        acceptance: chance of each trial.
    """
    rejected = count - accepted
    chance = 1 - betainc(accepted + 1, np.maximum(rejected, 1), acceptance)
    return np.where(rejected >= 1, chance, 1.0)


def check_share(what: str, value: float, such_as: float = 0.95) -> None:
    """Check that a value lies between 0 and 1, both left out.

    Args:
        what: its name in the sentence, such as "an acceptance".
        value: that was asked for.
        such_as: an example of one.

    Raises:
        UserError: it does not.
    """
    if not 0 < value < 1:
        raise UserError(
            f"{what} of {value} was asked for; expected a share between 0 and 1, such as "
            f"{such_as:g}"
        )


def refuse_too_few(groups: int, images: int, acceptance: float, confidence: float | None) -> None:
    """Check that there are enough held-out groups for a promise.

    Args:
        groups: that are there.
        images: in them.
        acceptance: as in ``calibrate_pool``.
        confidence: as in ``calibrate_pool``.

    Raises:
        UserError: there are fewer, saying how many it takes and which acceptance they can promise.
    """
    least = least_groups(acceptance, confidence)
    if groups >= least:
        return
    what = f"{images} held-out images" + (f" in {groups} groups" if groups < images else "")
    wanted = f"at least {least}" + (" groups" if groups < images else "")
    reachable = groups / (groups + 1)
    if confidence is not None and groups:
        reachable = min(reachable, (1 - confidence) ** (1 / groups))
    stated = "" if confidence is None else f" with a confidence of {confidence:g}"
    lower = math.floor(100 * reachable) / 100
    raise UserError(
        f"{what} are there to set the threshold from; expected {wanted} for an acceptance of "
        f"{acceptance:g}{stated}: add images, hold out a larger share"
        + (f", or choose an acceptance of at most {lower:g}" if lower > 0 else "")
    )
