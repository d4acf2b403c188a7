"""The threshold below which an image is known, and the promise that comes with it.

Held-out images that are like new ones give a split-conformal p-value, p = (1 + #{held-out scores at
least as high}) / (n + 1), and an image is known if p > 1 - acceptance.  That is the same decision
as ``score <= threshold`` with the k-th smallest held-out score, k = ceil((n + 1) acceptance).  Then
new known images are accepted with a probability of at least ``acceptance``.

Images of one group (copies of a picture, frames of a track) are not n independent images.  Each
group weighs 1 in total: p = (1 + sum over groups of the group's share of scores at least as high) /
(G + 1).  This is the pooled empirical distribution of Dunn, Wasserman and Ramdas (2022); with the
+1 it keeps the promise for any number of groups (Lee, Barber and Willett 2023).  "A new image" is
then a random image of a new group.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from knowbound.boundary.conformal import (
    ERROR_CONFIDENCE,
    ROUNDING,
    By,
    Calibrated,
    Floats,
    Held,
    Indices,
    acceptance_quantiles,
    calibrate_pool,
    cells_of,
    chance_of_at_most,
    check_error,
    check_share,
    least_groups,
    pools_of,
    positioned,
    refuse_too_few,
)
from knowbound.boundary.selective_risk import SelectiveThreshold, threshold_for_error
from knowbound.errors import UserError
from knowbound.judgement.acceptance_range import rounded_outwards
from knowbound.values import Array, JsonObject

SUSPECT = 0.05
"""Chance that some class would be named as short though each keeps the promise."""


class ClassAcceptance(NamedTuple):
    """How many images of each class are accepted."""

    groups: Indices
    """(C,) groups of each class (images, where there are no groups)."""
    share: Floats
    """(C,) share accepted, each group weighing 1; NaN for a class without images."""
    short: NDArray[np.bool_]
    """(C,) whether so few would be accepted by chance in at most 5% of all cases, all classes
    together."""


class Threshold(nn.Module):
    """Accepts images whose score is at most the threshold of their class.

    Everything it learns is in buffers, so that it is saved with a model; what it computes on images
    is plain tensor operations, so that it can be exported.
    """

    acceptance: Tensor
    """() float64."""
    confidence: Tensor
    """() float64, NaN where none was stated."""
    by_class: Tensor
    """() bool."""
    pool: Tensor
    """(C,) int64: the pool of held-out images that each class's threshold is set from."""
    thresholds: Tensor
    """(P,) float64, one for each pool."""
    levels: Tensor
    """(P,) float64: known if and only if p > level, 1 - acceptance where no confidence is
    stated."""
    positions: Tensor
    """(P, 2) float64: the groups at or below the threshold, without and with equal scores of
    others."""
    groups: Tensor
    """(P,) int64 held-out groups."""
    images: Tensor
    """(P,) int64 held-out images."""
    held: Tensor
    """(M,) float64 held-out scores of each pool, ascending, with infinity at the end."""
    at_least: Tensor
    """(M,) float64: how many groups score as high as ``held`` or higher; 0 at the end."""
    starts: Tensor
    """(P + 1,) int64: where each pool starts in ``held``."""
    error: Tensor
    """(6,) float64: largest error asked for, its confidence, its bound, accepted held-out images,
    how many of them have the wrong class, and 1 where the acceptance was lowered for it; (0,) where
    no largest error was asked for."""

    def __init__(self, classes: int) -> None:
        """An unfitted threshold for ``classes`` classes: it accepts nothing."""
        super().__init__()
        for name in ("acceptance", "confidence"):
            self.register_buffer(name, torch.tensor(math.nan, dtype=torch.float64))
        self.register_buffer("by_class", torch.tensor(False))
        self.register_buffer("pool", torch.zeros(classes, dtype=torch.int64))
        for name in ("thresholds", "levels"):
            self.register_buffer(name, torch.full((1,), math.nan, dtype=torch.float64))
        self.register_buffer("positions", torch.zeros((1, 2), dtype=torch.float64))
        for name in ("held", "at_least", "error"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.float64))
        for name in ("groups", "images", "starts"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.int64))

    @property
    def by(self) -> By:
        """Whether all classes share one threshold, as it was fitted."""
        return "class" if bool(self.by_class) else "all"

    @property
    def stated_confidence(self) -> float | None:
        """The confidence it was fitted with; None: acceptance on average, or not fitted."""
        stated = float(self.confidence)
        return None if math.isnan(stated) else stated

    def fit(
        self,
        scores: Tensor,
        nearest: Tensor,
        groups: Tensor | Indices | None = None,
        *,
        acceptance: float = 0.95,
        by: By = "all",
        confidence: float | None = None,
        max_error: float | None = None,
        correct: Tensor | None = None,
    ) -> Self:
        """Set the thresholds from held-out in-distribution images.

        Args:
            scores: (N,) higher = more out-of-distribution.
            nearest: (N,) class in 0..C-1 that each is taken for, as for the images to be judged.
                Then the promise by class is exact, for the images taken for each class.
            groups: (N,) the group of each, of any numbers; None: each image is a group.
            acceptance: share of new known images to accept, above 0 and below 1.
            by: one threshold for all, or one for each class.  Classes with too few groups, the
                smallest first, share one until it has enough.
            confidence: None promises the acceptance on average over draws of the held-out images.
                0.95 promises at least the acceptance in 95% of these draws: exactly for groups of
                one image (Vovk 2012), by the bounds of Hoeffding and Bentkus for larger ones.
            max_error: lower the threshold until, with this confidence (0.95 where none is stated),
                at most this share of the accepted images has the wrong class; None: leave it.
            correct: (N,) bool, whether each image's class is right; needed for ``max_error``.

        Raises:
            UserError: too few held-out images or groups, saying how many it takes; scores that are
                no numbers; an acceptance, confidence or error that cannot be, or that no threshold
                keeps.
        """
        check_share("an acceptance", acceptance)
        if confidence is not None:
            check_share("a confidence", confidence)
        if by not in ("all", "class"):
            raise UserError(f"thresholds by {by!r} were asked for; expected all or class")
        if max_error is not None:
            check_error(max_error, by)
        values, classes = _array(scores, np.float64), _array(nearest, np.int64)
        ids = np.arange(len(values)) if groups is None else _array(groups, np.int64)
        _check_scores(values, classes, ids, len(self.pool))
        least = least_groups(acceptance, confidence)
        refuse_too_few(len(np.unique(ids)), len(values), acceptance, confidence)
        pool = pools_of(classes, ids, len(self.pool), least, by)
        parts = [
            calibrate_pool(values[in_pool], ids[in_pool], acceptance, confidence)
            for in_pool in (pool[classes] == p for p in range(int(pool.max()) + 1))
        ]
        found = None
        if max_error is not None:  # before anything is set: it may not be kept
            found = threshold_for_error(
                values,
                _array(torch.empty(0) if correct is None else correct, np.bool_),
                max_error,
                confidence or ERROR_CONFIDENCE,
                groups=ids,
                at_most=parts[0].threshold,
            )
        self._keep(parts, scores.device)
        self._set("pool", pool, scores.device)
        self._set("acceptance", np.float64(acceptance), scores.device)
        stated = math.nan if confidence is None else confidence
        self._set("confidence", np.float64(stated), scores.device)
        self._set("by_class", np.bool_(by == "class"), scores.device)
        self._set("error", np.zeros(0), scores.device)
        if max_error is not None and found is not None:
            self._keep_error(found, max_error, confidence or ERROR_CONFIDENCE)
        return self

    def adjust(self, acceptance: float, confidence: float | None = None) -> Self:
        """Set other thresholds from the held-out scores it was fitted on; classes that share one
        go on sharing it, and no largest error is promised any more.

        Args:
            acceptance: as in ``fit``.
            confidence: as in ``fit``.

        Raises:
            UserError: too few held-out images for it in some pool, saying how many it takes; or an
                acceptance or confidence that cannot be.
        """
        check_share("an acceptance", acceptance)
        if confidence is not None:
            check_share("a confidence", confidence)
        if not self.promises:
            raise UserError(
                "this model was written by an earlier version, which kept no held-out scores; fit "
                "it again to set another acceptance"
            )
        held, at_least = _array(self.held, np.float64), _array(self.at_least, np.float64)
        starts, parts = _array(self.starts, np.int64), []
        counts = zip(self.groups.tolist(), self.images.tolist(), strict=True)
        for (groups, images), low, high in zip(counts, starts[:-1], starts[1:], strict=True):
            refuse_too_few(groups, images, acceptance, confidence)
            reached = groups - at_least[low + 1 : high]
            counted = Held(held[low : high - 1], reached, groups, images)
            parts.append(positioned(counted, acceptance, confidence))
        device = self.thresholds.device
        self._keep(parts, device)
        stated = math.nan if confidence is None else confidence
        self._set("acceptance", np.float64(acceptance), device)
        self._set("confidence", np.float64(stated), device)
        self._set("error", np.zeros(0), device)
        return self

    def _keep_error(self, found: SelectiveThreshold, max_error: float, confidence: float) -> None:
        lowered = found.threshold < float(self.thresholds[0])
        if lowered:
            self._lower(found.threshold)
        facts = (max_error, confidence, found.error_bound, found.accepted, found.errors, lowered)
        self._set("error", np.array(facts, np.float64), self.thresholds.device)

    def _lower(self, threshold: float) -> None:
        """Put the only pool's threshold at another held-out score."""
        held, at_least = _array(self.held, np.float64), _array(self.at_least, np.float64)
        first, beyond = (int(np.searchsorted(held, threshold, side)) for side in ("left", "right"))
        groups, device = float(self.groups[0]), self.thresholds.device
        position = [[groups - at_least[first + 1], groups - at_least[beyond]]]
        self._set("thresholds", np.array([threshold]), device)
        self._set("levels", np.array([(1 + at_least[beyond]) / (1 + groups)]), device)
        self._set("positions", np.array(position), device)

    @property
    def promises(self) -> bool:
        """Whether it remembers held-out scores: models of format 1 kept a threshold alone."""
        return bool(self.images.sum() > 0)

    @property
    def max_error(self) -> float | None:
        """The largest error it was fitted with; None: none was asked for."""
        return float(self.error[0]) if len(self.error) else None

    @property
    def lowered(self) -> bool:
        """Whether it accepts fewer images than asked for, to keep the largest error."""
        return bool(len(self.error)) and bool(self.error[5])

    def _keep(self, parts: Sequence[Calibrated], device: torch.device) -> None:
        columns: JsonObject = {
            "thresholds": [part.threshold for part in parts],
            "levels": [part.level for part in parts],
            "positions": [part.position for part in parts],
            "groups": [part.groups for part in parts],
            "images": [part.images for part in parts],
            "held": np.concatenate([part.held for part in parts]),
            "at_least": np.concatenate([part.at_least for part in parts]),
            "starts": np.cumsum([0, *(len(part.held) for part in parts)]),
        }
        for name, values in columns.items():
            self._set(name, np.asarray(values), device)

    def _set(self, name: str, value: Any, device: torch.device) -> None:
        self.register_buffer(name, torch.as_tensor(value, device=device))

    def threshold_of(self, nearest: Tensor) -> Tensor:
        """The highest score at which each image would be known.

        Args:
            nearest: (N,) classes in 0..C-1.

        Returns:
            (N,) float64.
        """
        return self.thresholds[self.pool[nearest]]

    def accepts(self, scores: Tensor, nearest: Tensor) -> Tensor:
        """Whether each image is known; one whose score is no number is not.

        Args:
            scores: (N,).
            nearest: (N,) classes in 0..C-1.

        Returns:
            (N,) bool.
        """
        return scores <= self.threshold_of(nearest)

    def p_value(self, scores: Tensor, nearest: Tensor) -> Tensor:
        """Conformal p-values: small for images unlike the held-out ones.

        A score that is no number has the smallest.  They are found by bisection, in log2(M) steps
        for all images together.

        Args:
            scores: (N,).
            nearest: (N,) classes in 0..C-1.

        Returns:
            (N,) float64 in (0, 1].

        Raises:
            ValueError: it was not fitted.
        """
        if not len(self.held):
            raise ValueError("there is no p-value yet; call fit with held-out images first")
        values = torch.nan_to_num(scores.double(), nan=math.inf, posinf=math.inf, neginf=-math.inf)
        pool = self.pool[nearest]
        low, high = self.starts[pool], self.starts[pool + 1] - 1
        for _ in range(len(self.held).bit_length()):
            middle = (low + high) // 2
            below = self.held[middle] < values
            low, high = torch.where(below, middle + 1, low), torch.where(below, high, middle)
        p = (1 + self.at_least[low]) / (1 + self.groups[pool])
        # sums of shares round: keep p > level the same decision as score <= threshold
        level = self.levels[pool]
        return torch.where(values <= self.thresholds[pool], p, torch.minimum(p, level))

    def range(self, coverage: float = 0.95) -> tuple[float, float]:
        """The interval in which the acceptance of new known images lies in ``coverage`` of all
        draws of the held-out images.

        Of n images the acceptance has the distribution Beta(k, n + 1 - k).  Of G groups it has at
        most the spread of Beta(k, G + 1 - k), which is attained where all images of a group score
        alike; so the interval is then rather too wide.  Several pools, of independent images, are
        summed up by a Beta distribution of the same mean and variance, each pool weighing as in the
        held-out images.  A threshold that was lowered to keep an error gets the band that holds for
        all thresholds at once (Dvoretzky, Kiefer and Wolfowitz 1956; Massart 1990).

        Args:
            coverage: share of all draws, above 0 and below 1.

        Returns:
            Both ends, shares in 0..1.

        Raises:
            ValueError: it was not fitted.
        """
        if not len(self.held):
            raise ValueError("there is no range yet; call fit with held-out images first")
        if not self.promises:
            return 0.0, 1.0
        groups = self.groups.cpu().numpy().astype(np.float64)
        positions = self.positions.cpu().numpy()
        tail = (1 - coverage) / 2
        if self.lowered:  # chosen by more than its rank: a band for every threshold at once
            spread = math.sqrt(math.log(1 / tail) / (2 * groups[0]))
            below, above = positions[0] / groups[0]
            return max(0.0, below - spread), min(1.0, above + spread)
        low, _ = acceptance_quantiles(positions[:, 0], groups, tail)
        _, high = acceptance_quantiles(positions[:, 1], groups, tail)
        return low, high

    @property
    def pooled_classes(self) -> tuple[int, ...]:
        """The classes that share a threshold though one for each class was asked for."""
        if not bool(self.by_class):
            return ()
        pool = self.pool.cpu().numpy()
        return tuple(np.flatnonzero(np.bincount(pool)[pool] > 1).tolist())

    def acceptance_by_class(
        self,
        scores: Tensor,
        nearest: Tensor,
        labels: Tensor,
        groups: Tensor | Indices | None = None,
    ) -> ClassAcceptance:
        """How many images of each class are accepted, and in which classes too few.

        Args:
            scores: (N,) of in-distribution images, held-out or new ones.
            nearest: (N,) the class each is taken for.
            labels: (N,) the class each has, in 0..C-1.
            groups: (N,) the group of each; None: each image is a group.
        """
        accepted = _array(self.accepts(scores, nearest), np.float64)
        classes, count = _array(labels, np.int64), len(self.pool)
        ids = np.arange(len(classes)) if groups is None else _array(groups, np.int64)
        cells, cell = cells_of(classes, ids)
        weights = 1 / np.bincount(cell)[cell]
        sums = np.bincount(classes, weights * accepted, count)
        in_class = np.bincount(cells, minlength=count)
        with np.errstate(invalid="ignore"):
            share = np.where(in_class > 0, sums / in_class, math.nan)
        chance = chance_of_at_most(np.ceil(sums - ROUNDING), in_class, self._aimed())
        return ClassAcceptance(in_class, share, chance < SUSPECT / count)

    def _aimed(self) -> float:
        """The share of new known images that it is set to accept."""
        if not self.lowered:
            return float(self.acceptance)
        return float(self.positions[0, 0] / (self.groups[0] + 1))

    def describe(self) -> JsonObject:
        """What was promised and from what, as JSON values for a model's card."""
        low, high = self.range()
        return {
            "acceptance": float(self.acceptance),
            "by": self.by,
            "confidence": self.stated_confidence,
            "images": int(self.images.sum()),
            "groups": int(self.groups.sum()),
            "smallest_pool": int(self.groups.min()),
            "range": [low, high],
            "range_coverage": 0.95,
            "least_groups": least_groups(float(self.acceptance), self.stated_confidence),
            "pooled_classes": list(self.pooled_classes),
            "level": float(self.levels[0]) if len(set(self.levels.tolist())) == 1 else None,
            "error": self._describe_error(),
        }

    def _describe_error(self) -> JsonObject | None:
        if not len(self.error):
            return None
        max_error, confidence, bound, accepted, wrong, _ = self.error.tolist()
        return {
            "max_error": max_error,
            "confidence": confidence,
            "bound": bound,
            "accepted": int(accepted),
            "wrong": int(wrong),
            "acceptance_lowered": self.lowered,
        }

    def sentence(self, class_names: Sequence[str] = ()) -> str:
        """The promise in words.

        Args:
            class_names: (C,); without them classes are called by their numbers.
        """
        if not self.promises:
            return "none, as an earlier version wrote this model and kept no held-out scores"
        facts = self.describe()
        low, high = rounded_outwards(*facts["range"])
        grouped = facts["groups"] < facts["images"]
        said = (
            f"between {low} and {high} of new known images will be accepted "
            f"({facts['images']} held-out images"
            + (f" in {facts['groups']} groups)" if grouped else ")")
        )
        if facts["confidence"] is not None and not self.lowered:
            said += (
                f", with a confidence of {100 * facts['confidence']:g}% at least "
                f"{100 * facts['acceptance']:g}%"
            )
        if facts["error"] is not None:
            error = facts["error"]
            said += (
                f"; with a confidence of {100 * error['confidence']:g}% at most "
                f"{100 * error['max_error']:g}% of the accepted ones will have the wrong class "
                f"({error['wrong']} of {error['accepted']} accepted held-out images had)"
            )
        if self.lowered:
            said += (
                f"; for this fewer are accepted than the {100 * facts['acceptance']:g}% asked for"
            )
        if facts["by"] == "class" and len(self.thresholds) > 1:
            said += "; each class has a threshold of its own"
        if self.pooled_classes:
            names = [class_names[c] if class_names else str(c) for c in self.pooled_classes]
            shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")
            said += f"; {shown} share one threshold, as there are too few held-out images"
        return said


def _array(values: Tensor | Array, kind: Any) -> Array:
    given = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    return given.astype(kind, copy=False)


def _check_scores(scores: Floats, nearest: Indices, ids: Indices, classes: int) -> None:
    if not scores.shape == nearest.shape == ids.shape or scores.ndim != 1:
        raise ValueError(
            f"scores, nearest classes and groups have the shapes {scores.shape}, {nearest.shape} "
            f"and {ids.shape}; expected (N,) each"
        )
    if len(nearest) and (nearest.min() < 0 or nearest.max() >= classes):
        raise ValueError(
            f"classes lie in {nearest.min()}..{nearest.max()}; expected 0..{classes - 1}"
        )
    bad = int(np.isnan(scores).sum())
    if bad:
        raise UserError(
            f"{bad} of {len(scores)} held-out images have no number as score; expected a network "
            "whose outputs are finite: train with a smaller learning rate"
        )
