"""What another acceptance would have done on the same images, and what it would have cost.

A p-value says at which acceptances an image is known: it is if p > 1 - acceptance.  So every
acceptance that the held-out images allow is counted from the judgements as they are.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knowbound.errors import UserError
from knowbound.evidence import Evidence, JudgedSet
from knowbound.labels import Decision

ROUNDING = 1e-9
"""Of p-values, which are quotients."""
STEPS = (
    *(n / 100 for n in range(50, 90, 2)),
    *(n / 200 for n in range(180, 196)),
    *(n / 500 for n in range(490, 500)),
    *(0.999, 0.9995, 0.9999),
)
"""Acceptances that are tried, as far as the held-out images allow."""
WRONG_CLASS = "wrong-class"
"""The cost of an accepted known image that gets another class than its own."""
MISTAKES = tuple(
    f"{truth}-as-{said}" for truth in map(str, Decision) for said in map(str, Decision)
)
"""What has a cost: what an image is, and what was said of it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What one acceptance does on the images that were judged."""

    acceptance: float
    counts: tuple[tuple[int, int, int], ...]
    """How many of the known images, then of each other set, are called known, novelty, anomaly."""
    right: int
    """Accepted known images that get their class."""
    labelled: int
    """Accepted known images whose class is known."""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The settings, in rising acceptance, and which of them is the model's own."""

    settings: tuple[Setting, ...]
    own: int

    @property
    def now(self) -> Setting:
        """What the model does as it is."""
        return self.settings[self.own]


def what_if(evidence: Evidence) -> WhatIf | None:
    """What every acceptance would have done.

    Args:
        evidence: of one model.

    Returns:
        The settings; None where the p-values cannot tell: images held out for thresholds that are
        not one share of the p-values, or that were not kept.
    """
    level = evidence.promise.get("level")
    if level is None or not len(evidence.in_set):
        return None
    own = round(1 - float(level), 10)
    groups = int(evidence.promise.get("smallest_pool", evidence.promise["groups"]))
    most = groups / (groups + 1) + ROUNDING
    if own > most:
        return None
    others = [a for a in STEPS if a <= most and abs(a - own) > 1e-4]
    acceptances = sorted([*others, own])
    settings = tuple(_setting(evidence, a) for a in acceptances)
    return WhatIf(settings, acceptances.index(own)) if len(settings) > 1 else None


def check_costs(costs: Mapping[str, float]) -> None:
    """Check the costs of mistakes.

    Args:
        costs: by names such as ``novelty-as-known``.

    Raises:
        UserError: a name that is none, or a cost that is no number of 0 or more.
    """
    names = (*MISTAKES, WRONG_CLASS)
    for name, cost in costs.items():
        if name not in names:
            raise UserError(
                f"a cost of {name!r} was given; expected a truth and what was said of it, one of "
                f"{', '.join(names)}"
            )
        if not 0 <= cost < math.inf:
            raise UserError(
                f"a cost of {cost:g} was given for {name}; expected a number of 0 or more"
            )


def cost_of(evidence: Evidence, setting: Setting, costs: Mapping[str, float]) -> float:
    """What a setting costs on average per image, in the mixture of images that was judged.

    Args:
        evidence: of one model.
        setting: one of ``what_if``.
        costs: by names such as ``novelty-as-known``; what has no name costs nothing.
    """
    truths = [str(out.kind or Decision.KNOWN) for out in (evidence.in_set, *evidence.out_sets)]
    total = costs.get(WRONG_CLASS, 0.0) * (setting.labelled - setting.right)
    for truth, counts in zip(truths, setting.counts, strict=True):
        for said, count in zip(map(str, Decision), counts, strict=True):
            total += costs.get(f"{truth}-as-{said}", 0.0) * count
    return total / max(1, sum(map(sum, setting.counts)))


def cheapest(evidence: Evidence, found: WhatIf, costs: Mapping[str, float]) -> int:
    """The setting that costs least; of several the one nearest to the model's own.

    Args:
        evidence: of one model.
        found: its settings.
        costs: as in ``cost_of``.

    Returns:
        Its index.
    """
    each = [cost_of(evidence, setting, costs) for setting in found.settings]
    return min(range(len(each)), key=lambda i: (each[i], abs(i - found.own)))


def cost_sentence(evidence: Evidence, costs: Mapping[str, float]) -> str:
    """What the model costs as it is, and which acceptance would have cost least, in words.

    Args:
        evidence: of one model.
        costs: as in ``cost_of``.
    """
    found = what_if(evidence)
    if found is None:
        return "The costs of other acceptances cannot be told from this model's p-values."
    best = found.settings[cheapest(evidence, found, costs)]
    now = 1000 * cost_of(evidence, found.now, costs)
    text = f"At these costs 1,000 such pictures cost {_amount(now)} as the model is"
    if best is found.now:
        return f"{text}; no other acceptance costs less."
    least = 1000 * cost_of(evidence, best, costs)
    ends = {found.settings[0]: ", the lowest tried", found.settings[-1]: ", the highest possible"}
    return (
        f"{text} (acceptance {found.now.acceptance:.2%}), and {_amount(least)} at the cheapest "
        f"acceptance, {best.acceptance:.2%}{ends.get(best, '')}. This was found on these pictures: measure it on others."
    )


def _amount(cost: float) -> str:
    """Four significant digits, and all digits of a large number."""
    return f"{cost:,.0f}" if cost >= 1000 else f"{cost:.4g}"


def three_way(evidence: Evidence, counts: tuple[tuple[int, ...], ...]) -> dict[str, list[int]]:
    """The counts of all sets of a kind together.

    Args:
        evidence: of one model.
        counts: of the known images, then of each other set: called known, novelty, anomaly.

    Returns:
        For known, novelty and anomaly, as far as there are such images: the three counts.
    """
    table: dict[str, list[int]] = {}
    for judged, row in zip((evidence.in_set, *evidence.out_sets), counts, strict=True):
        kind = str(judged.kind or Decision.KNOWN)
        before = table.get(kind, [0, 0, 0])
        table[kind] = [a + b for a, b in zip(before, row, strict=True)]
    return {kind: table[kind] for kind in map(str, Decision) if kind in table}


def _setting(evidence: Evidence, acceptance: float) -> Setting:
    sets = (evidence.in_set, *evidence.out_sets)
    known = [_known(judged, acceptance) for judged in sets]
    far = [judged.judgement.domain_score > evidence.domain_threshold for judged in sets]
    inside = evidence.in_set
    accepted = known[0] & (inside.labels >= 0)
    right = accepted & (inside.judgement.nearest == inside.labels)
    counts = tuple(
        (int(k.sum()), int((~k & ~f).sum()), int((~k & f).sum()))
        for k, f in zip(known, far, strict=True)
    )
    return Setting(acceptance, counts, int(right.sum()), int(accepted.sum()))


def _known(judged: JudgedSet, acceptance: float) -> NDArray[np.bool_]:
    above = judged.judgement.p_value > 1 - acceptance + ROUNDING
    return np.asarray(above & ~np.isnan(judged.judgement.score), dtype=np.bool_)
