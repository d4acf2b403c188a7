"""All scores in one ascending order, with what each image is: the one sort that every metric is
read from.

Sorting floats is fast, sorting floats that drag a label along is several times slower.  So the
label becomes the last bit of the float.  To lose nothing the scores are first scaled by a power of
two to below 1, which empties the highest bit of the exponent: sign, exponent and fraction then move
up by one bit, keep their order, and make room for the label (0 in, 1 out).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knowbound.values import Array, DType

Floats = NDArray[np.float64]

BLOCK = 1 << 16  # images looked at together: as many as stay in the processor's cache
INFINITE = (
    1.25  # what an infinite score becomes: above every scaled one, and its bits may still move up
)


@dataclass(frozen=True, eq=False, slots=True)
class Distinct:
    """Neighbouring images whose scores all differ.  is_out: (B,) bool in ascending order of
    score."""

    in_below: int
    out_below: int
    is_out: NDArray[np.bool_]

    @property
    def out_accepted(self) -> int:
        """The out images up to the last of these."""
        return self.out_below + int(np.count_nonzero(self.is_out))

    @property
    def in_accepted(self) -> int:
        """The in images up to the last of these."""
        return self.in_below + self.out_below + len(self.is_out) - self.out_accepted

    def only(self, nth: int, *, out: bool) -> "Distinct":
        """The ``nth`` in (or out) image alone."""
        place = int(
            np.flatnonzero(self.is_out if out else ~self.is_out)[
                nth - 1 - (self.out_below if out else self.in_below)
            ]
        )
        others = self.in_below + self.out_below + place - (nth - 1)
        return Distinct(
            others if out else nth - 1, nth - 1 if out else others, self.is_out[place : place + 1]
        )

    def grouped(self) -> "Grouped":
        """The same images, each a group of its own."""
        out = self.out_below + np.concatenate(
            [[0], np.cumsum(self.is_out.view(np.uint8), dtype=np.int32)]
        ).astype(np.float64)
        return Grouped(np.arange(len(out)) + (self.in_below + self.out_below) - out, out)


@dataclass(frozen=True, eq=False, slots=True)
class Grouped:
    """Neighbouring groups of equal scores.  Both (T + 1,): the in and out images accepted below the
    first and up to each group."""

    accepted_in: Floats
    accepted_out: Floats

    @property
    def out_accepted(self) -> int:
        """The out images up to the last of these."""
        return int(self.accepted_out[-1])

    @property
    def in_accepted(self) -> int:
        """The in images up to the last of these."""
        return int(self.accepted_in[-1])

    def grouped(self) -> "Grouped":
        """Itself."""
        return self


@dataclass(frozen=True, slots=True)
class Group:
    """All images of one score, and how many are accepted just below it and with it."""

    score: float
    in_below: int
    out_below: int
    in_accepted: int
    out_accepted: int


@dataclass(frozen=True, eq=False, slots=True)
class Ranking:
    """Every image of both sets in ascending order of score.

    keys: (N,) scores with the label in the last bit; scale: the power of two they were multiplied
    by; levels: the score for each key, where keys are places among the distinct scores; otherwise
    None.
    """

    keys: NDArray[np.floating[Any]]
    n_in: int
    n_out: int
    scale: float
    levels: Floats | None = None

    def stretches(self) -> Iterator[Distinct | Grouped]:
        """All images in ascending order, a block at a time; equal scores are never parted."""
        start, out_below = 0, 0
        while start < len(self.keys):
            stop = self._stop(start)
            if stop - start > BLOCK:
                stretch: Distinct | Grouped = self._lone(start, stop, out_below)
            else:
                stretch = _stretch(self.keys[start:stop], start, out_below)
            out_below = stretch.out_accepted
            yield stretch
            start = stop

    def group_of(self, nth: int, *, out: bool) -> Group:
        """The group that holds one image.

        Args:
            nth: which in (or out) image from below, counted from 1.
            out: whether out images are counted.
        """
        for stretch in self.stretches():
            if nth <= (stretch.out_accepted if out else stretch.in_accepted):
                return self.group_in(stretch, nth, out=out)
        raise ValueError(f"image {nth} was asked for; there are {self.n_out if out else self.n_in}")

    def group_in(self, stretch: Distinct | Grouped, nth: int, *, out: bool) -> Group:
        """The same where the stretch that holds it is known."""
        if isinstance(stretch, Distinct):
            stretch = stretch.only(nth, out=out)
        groups = stretch.grouped()
        index = int(np.searchsorted(groups.accepted_out if out else groups.accepted_in, nth))
        (in_below, in_accepted), (out_below, out_accepted) = (
            map(int, accepted[index - 1 : index + 1])
            for accepted in (groups.accepted_in, groups.accepted_out)
        )
        score = self._decode(self.keys[in_below + out_below : in_below + out_below + 1])[0]
        return Group(float(score), in_below, out_below, in_accepted, out_accepted)

    def scores(self) -> tuple[Floats, Floats]:
        """The (in, out) scores themselves, each ascending.

        Returns:
            (N,) of in-distribution and (M,) of out-of-distribution images.
        """
        both: tuple[Floats, Floats] = np.empty(self.n_in), np.empty(self.n_out)
        filled = [0, 0]
        for start in range(0, len(self.keys), BLOCK):
            keys = self.keys[start : start + BLOCK]
            bits = _bits(keys)
            is_out = (bits & bits.dtype.type(1)).astype(bool)
            for label, chosen in enumerate((keys[~is_out], keys[is_out])):
                both[label][filled[label] : filled[label] + len(chosen)] = self._decode(chosen)
                filled[label] += len(chosen)
        return both

    def _stop(self, start: int) -> int:
        stop = min(start + BLOCK, len(self.keys))
        if stop == len(self.keys) or (int(_bits(self.keys)[stop]) | 1) != (
            int(_bits(self.keys)[stop - 1]) | 1
        ):
            return stop
        low, high = self._bounds(self.keys[stop])
        return low if low > start else high

    def _bounds(self, key: np.floating[Any]) -> tuple[int, int]:
        ends = [
            np.searchsorted(self.keys, each, side)
            for each in (key, _twin(key))
            for side in ("left", "right")
        ]
        return int(min(ends)), int(max(ends))

    def _lone(self, start: int, stop: int, out_below: int) -> Grouped:
        """The one group that fills this block: its in and its out images are two runs of equal
        keys, in either order."""
        first = int(np.searchsorted(self.keys, self.keys[start], "right")) - start
        outs = first if int(_bits(self.keys)[start]) & 1 else stop - start - first
        ends = ([start - out_below, stop - out_below - outs], [out_below, out_below + outs])
        return Grouped(*(np.array(end, dtype=np.float64) for end in ends))

    def _decode(self, keys: NDArray[np.floating[Any]]) -> Floats:
        bits = _bits(keys)
        magnitude = bits & _magnitude(bits)
        scaled: Floats = (
            ((bits ^ magnitude) | (magnitude >> bits.dtype.type(1)))
            .view(keys.dtype)
            .astype(np.float64)
        )
        infinite = np.abs(scaled) >= 1
        with np.errstate(over="ignore"):  # of infinite ones only
            scores: Floats = scaled / self.scale
        scores[infinite] = np.copysign(np.inf, scaled[infinite])
        return scores if self.levels is None else self.levels[scores.astype(np.intp)]


def rank(in_scores: ArrayLike, out_scores: ArrayLike) -> Ranking:
    """The ranking of two sets of scores, from one sort.

    Memory: beside the input one float for each image (float32 where both arrays are) and some
    blocks.

    Args:
        in_scores: (N,) of in-distribution images.
        out_scores: (M,) of out-of-distribution images.

    Raises:
        ValueError: arrays that are not 1-D, are empty, or hold NaN or anything but numbers.
    """
    inside, outside = _as_scores("in_scores", in_scores), _as_scores("out_scores", out_scores)
    small = all(
        scores.dtype.kind == "f" and scores.dtype.itemsize <= 4 for scores in (inside, outside)
    )
    for dtype, scale in ([(np.dtype(np.float32), 2.0**-64)] if small else []) + [
        (np.dtype(np.float64), 2.0**-512)
    ]:
        keys = _keys(inside, outside, dtype, scale, infinite=False)
        if keys is not None:
            return Ranking(keys, len(inside), len(outside), scale)
    largest = max(_largest("in_scores", inside), _largest("out_scores", outside))
    scale = math.ldexp(1.0, -max(0, math.frexp(largest)[1]))
    keys = _keys(inside, outside, np.dtype(np.float64), scale, infinite=True)
    return (
        _rank_levels(inside, outside)
        if keys is None
        else Ranking(keys, len(inside), len(outside), scale)
    )


def _rank_levels(inside: Array, outside: Array) -> Ranking:
    """For scores so far apart that scaling rounds the small ones: the same of their places among
    the distinct scores."""
    levels, places = np.unique(
        np.concatenate([inside, outside]).astype(np.float64), return_inverse=True
    )
    found = rank(places[: len(inside)].astype(np.float64), places[len(inside) :].astype(np.float64))
    return Ranking(found.keys, found.n_in, found.n_out, found.scale, levels)


def _as_scores(name: str, values: ArrayLike) -> Array:
    scores = np.asarray(values)
    if scores.ndim != 1 or not scores.size:
        raise ValueError(
            f"{name} has the shape {scores.shape}; expected (N,) with at least one score"
        )
    if scores.dtype.kind not in "fiub":
        raise ValueError(f"{name} holds {scores.dtype}; expected numbers")
    return scores


def _largest(name: str, scores: Array) -> float:
    """The largest finite magnitude; 0 where there is none."""
    low, high = float(scores.min()), float(scores.max())
    if math.isnan(low) or math.isnan(high):
        raise ValueError(
            f"{name} holds {int(np.isnan(scores).sum())} values that are not numbers (NaN); "
            "expected a score for every image"
        )
    if math.isinf(low) or math.isinf(high):
        finite = scores[np.isfinite(scores)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return max(abs(low), abs(high))


def _keys(
    inside: Array,
    outside: Array,
    dtype: DType,
    scale: float,
    *,
    infinite: bool,
) -> NDArray[np.floating[Any]] | None:
    """Sorted keys; None where scaled scores do not fit: one is rounded, too large, NaN, or infinite
    where that is not expected."""
    keys: NDArray[np.floating[Any]] = np.empty(len(inside) + len(outside), dtype)
    largest = INFINITE if infinite else 0.5
    for scores, part, label in (
        (inside, keys[: len(inside)], 0),
        (outside, keys[len(inside) :], 1),
    ):
        for start in range(0, len(scores), BLOCK):
            here = slice(start, start + BLOCK)
            np.multiply(scores[here], dtype.type(scale), out=part[here], dtype=dtype)
            if infinite:
                np.clip(part[here], -INFINITE, INFINITE, out=part[here])
            if not _add_label(scores[here], part[here], label, scale, largest):
                return None
    keys.sort()
    return keys


def _add_label(
    scores: Array, keys: NDArray[np.floating[Any]], label: int, scale: float, largest: float
) -> bool:
    """Move the bits of the scaled scores up and put the label below; False where they do not
    fit."""
    bits = _bits(keys)
    magnitude = bits & _magnitude(bits)
    sizes = magnitude.view(keys.dtype)
    if not sizes.max() <= largest:  # NaN too
        return False
    if sizes.min() < np.finfo(keys.dtype).tiny:  # a score that is zero, or was rounded
        with np.errstate(over="ignore"):
            if ((keys / keys.dtype.type(scale) != scores) & np.isfinite(scores)).any():
                return False
        np.add(keys, 0, out=keys)  # -0.0 and 0.0 are one score and must have one pattern of bits
    np.add(bits, magnitude, out=bits)
    if label:
        np.bitwise_or(bits, bits.dtype.type(1), out=bits)
    return True


def _stretch(keys: NDArray[np.floating[Any]], start: int, out_below: int) -> Distinct | Grouped:
    bits = _bits(keys)
    is_out = (bits & bits.dtype.type(1)).astype(bool)
    change = bits[1:] ^ bits[:-1]
    if not len(change) or change.min() > 1:
        return Distinct(start - out_below, out_below, is_out)
    last = np.concatenate([np.flatnonzero(change > 1), [len(bits) - 1]])
    outs = np.cumsum(
        is_out.view(np.uint8), dtype=np.int32
    )  # at most BLOCK; several times faster than in int64
    out = np.concatenate([[out_below], outs[last] + float(out_below)])
    return Grouped(np.concatenate([[start], last + (start + 1.0)]) - out, out)


def _bits(keys: NDArray[np.floating[Any]]) -> Array:
    return keys.view(np.uint32 if keys.itemsize == 4 else np.uint64)


def _magnitude(bits: Array) -> Any:
    """The mask of all bits but the sign."""
    return bits.dtype.type(2 ** (8 * bits.itemsize - 1) - 1)


def _twin(key: np.floating[Any]) -> np.floating[Any]:
    """The key of the same score with the other label."""
    bits = _bits(np.array([key]))
    twin: np.floating[Any] = (bits ^ bits.dtype.type(1)).view(key.dtype)[0]
    return twin


def inner(first: Floats, second: Floats) -> float:
    """Sum of products.  Not by BLAS: it would start threads, which wait for each other on a busy
    machine."""
    return float(np.einsum("i,i", first, second))
