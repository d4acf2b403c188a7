"""Synthetic outliers: the surroundings of a known image with another middle.

A network that tells a sign from the others by its shape and colour alone takes every new sign of
that shape and colour for it.  Shown these images as outliers, it has to look at the middle.  They
are not in the paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from knowbound.data.outs.made_pixels import MEMORY_LIMIT, keep_in_memory, made_source
from knowbound.data.outs.members import members_of
from knowbound.data.source import Source
from knowbound.values import Array

RADIUS = (0.22, 0.36)
"""Of the circle that is replaced, in shares of the shorter side."""
STROKES = 3
"""At most so many lines in a wiped middle."""
CHUNK = 1024
"""Images whose numbers are drawn together: a part of what a seed means."""

Images = NDArray[np.float32]
Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]


def composed_images(
    source: Source, count: int, rng: np.random.Generator, *, memory_limit: int = MEMORY_LIMIT
) -> Source:
    """``count`` unlabelled images, "Composed", every second one with a turned middle, the others
    with a wiped one.

    turned: the middle of an image of another class, turned by 90, 180 or 270 degrees; wiped: the
    middle filled with its own median colour and crossed by up to three lines of a colour found in
    it.  Classes are drawn equally often; of an oblong image the middle square counts.  They serve
    classes that show something in the middle which means nothing when turned.

    Args:
        source: images with labels 0..C-1, of any size, grey or colour; classes without images are
            passed over.
        count: images.
        rng: draws them.
        memory_limit: bytes up to which they are held; more are made whenever asked for.

    Returns:
        Images of the source's shape and type.

    Raises:
        ValueError: fewer than two classes have images.
    """
    members = members_of(source, "so that one can get the middle of another")
    height, width = source.image_shape[1:]
    inner = (3 * height // 4 - height // 4) * (3 * width // 4 - width // 4)
    make = _Composed(source, _draw_plan(members, count, min(height, width), inner, rng))
    composed = made_source("Composed", make, count, source.image_shape, source.pixels.dtype)
    return keep_in_memory(composed, memory_limit)


@dataclass(frozen=True, eq=False)
class _Plan:
    """Everything random about N images."""

    wiped: NDArray[np.bool_]
    """(N,); the others are turned."""
    first: Indices
    """(N,) in the source: what gives the surroundings."""
    second: Indices
    """(N,) in the source: what gives the middle; of a wiped one the same."""
    turns: Indices
    """(N,) quarter turns of the middle, 0 of a wiped one."""
    centre: Numbers
    """(N, 2) row and column of the circle, in pixels from the middle."""
    radius: Numbers
    """(N,) in pixels."""
    ink: Indices
    """(N,) position in the inner pixels from which the lines have their colour."""
    strokes: Indices
    """(N,) lines, 0..STROKES."""
    start: Numbers
    """(N, STROKES, 2) row and column in the middle square."""
    end: Numbers
    """(N, STROKES, 2)."""
    thickness: Numbers
    """(N, STROKES) half of each line's, in pixels."""

    def take(self, positions: Array) -> "_Plan":
        """The images at some positions."""
        return _Plan(*(getattr(self, field.name)[positions] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class _Composed:
    """Positions in the plan -> images."""

    source: Source
    plan: _Plan

    def __call__(self, positions: Indices) -> Array:
        plan = self.plan.take(positions)
        made = np.empty((len(positions), *self.source.image_shape), dtype=np.float32)
        turned, wiped = np.flatnonzero(~plan.wiped), np.flatnonzero(plan.wiped)
        made[turned] = self._turned(plan.take(turned))
        made[wiped] = self._wiped(plan.take(wiped))
        if self.source.pixels.dtype == np.uint8:
            return np.rint(made).clip(0, 255).astype(np.uint8)
        return (made / np.float32(255)).clip(0, 1)

    def _turned(self, plan: _Plan) -> Images:
        """Surroundings with middles of other classes, turned."""
        surroundings, middles = self._read(plan.first), self._read(plan.second)
        square = _middle_square(middles)
        for turn in (1, 2, 3):
            mine = plan.turns == turn
            square[mine] = np.rot90(square[mine], turn, axes=(2, 3))
        return _with_middle(surroundings, middles, plan)

    def _wiped(self, plan: _Plan) -> Images:
        """Images whose own middles are wiped and crossed by lines."""
        images = self._read(plan.first)
        height, width = images.shape[2:]
        inner = images[:, :, height // 4 : 3 * height // 4, width // 4 : 3 * width // 4]
        inner = inner.reshape(*images.shape[:2], inner.shape[2] * inner.shape[3])
        median = np.median(inner, axis=2).astype(np.float32)[..., None, None]
        middles = np.broadcast_to(median, images.shape).copy()
        ink = np.take_along_axis(inner, plan.ink[:, None, None], axis=2)[..., None]
        for stroke in range(STROKES):
            cover = _line(plan, stroke, height, width) * (stroke < plan.strokes)[:, None, None]
            middles += cover[:, None] * (ink - middles)
        return _with_middle(images, middles, plan)

    def _read(self, indices: Indices) -> Images:
        """(N, C, H, W) in 0..255."""
        pixels = self.source.images(indices)
        return pixels.astype(np.float32) * (1.0 if pixels.dtype == np.uint8 else 255.0)


def _middle_square(images: Images) -> Images:
    """A view of the largest square in the middle."""
    height, width = images.shape[2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return images[:, :, top : top + side, left : left + side]


def _with_middle(surroundings: Images, middles: Images, plan: _Plan) -> Images:
    """The middles in a circle with a soft edge, near the centre of the surroundings."""
    height, width = surroundings.shape[2:]
    row, column = (plan.centre + np.array([height / 2, width / 2])).T[:, :, None, None]
    rows, columns = np.mgrid[0:height, 0:width]
    away = np.hypot(rows - row, columns - column)
    inside = np.clip((plan.radius[:, None, None] - away) / 2 + 0.5, 0, 1)[:, None]
    composed: Images = surroundings + inside * (middles - surroundings)
    return composed


def _line(plan: _Plan, stroke: int, height: int, width: int) -> Numbers:
    """(N, H, W) in 0..1: how far a pixel is covered by a line between two points of the middle
    square."""
    side = min(height, width)
    corner = np.array([(height - side) / 2, (width - side) / 2])
    start = (plan.start[:, stroke] + corner)[:, :, None, None]
    end = (plan.end[:, stroke] + corner)[:, :, None, None]
    rows, columns = np.mgrid[0:height, 0:width]
    along = end - start
    length = np.maximum((along**2).sum(axis=1), 1e-9)
    share = ((rows - start[:, 0]) * along[:, 0] + (columns - start[:, 1]) * along[:, 1]) / length
    nearest = start + np.clip(share, 0, 1)[:, None] * along
    distance = np.hypot(rows - nearest[:, 0], columns - nearest[:, 1])
    cover: Numbers = np.clip(plan.thickness[:, stroke, None, None] - distance + 0.5, 0, 1)
    return cover


def _draw_plan(
    members: Sequence[Indices], count: int, side: int, inner: int, rng: np.random.Generator
) -> _Plan:
    """The numbers of ``count`` images, the even ones turned, the odd ones wiped."""
    plan = _Plan(
        wiped=np.arange(count) % 2 == 1,
        first=np.empty(count, dtype=np.int64),
        second=np.empty(count, dtype=np.int64),
        turns=np.zeros(count, dtype=np.int64),
        centre=np.empty((count, 2)),
        radius=np.empty(count),
        ink=np.zeros(count, dtype=np.int64),
        strokes=np.zeros(count, dtype=np.int64),
        start=np.zeros((count, STROKES, 2)),
        end=np.zeros((count, STROKES, 2)),
        thickness=np.zeros((count, STROKES)),
    )
    for begin in range(0, count, CHUNK):
        positions = np.arange(begin, min(begin + CHUNK, count))
        _draw_turned(plan, positions[0::2], members, side, rng)
        _draw_wiped(plan, positions[1::2], members, side, inner, rng)
    return plan


def _draw_turned(
    plan: _Plan,
    positions: Indices,
    members: Sequence[Indices],
    side: int,
    rng: np.random.Generator,
) -> None:
    count = len(positions)
    first = rng.integers(len(members), size=count)
    second = (first + rng.integers(1, len(members), size=count)) % len(members)
    plan.first[positions] = _draw_members(members, first, rng)
    plan.second[positions] = _draw_members(members, second, rng)
    plan.turns[positions] = rng.integers(1, 4, size=count)
    _draw_circle(plan, positions, side, rng)


def _draw_wiped(
    plan: _Plan,
    positions: Indices,
    members: Sequence[Indices],
    side: int,
    inner: int,
    rng: np.random.Generator,
) -> None:
    count = len(positions)
    chosen = _draw_members(members, rng.integers(len(members), size=count), rng)
    plan.first[positions] = plan.second[positions] = chosen
    plan.ink[positions] = rng.integers(inner, size=count)
    plan.strokes[positions] = rng.integers(STROKES + 1, size=count)
    for stroke in range(STROKES):
        start, end = rng.uniform(0.2 * side, 0.8 * side, (2, count, 2))
        plan.start[positions, stroke], plan.end[positions, stroke] = start, end
        # lines 2 to 5 of 32 pixels wide
        plan.thickness[positions, stroke] = rng.uniform(1, 2.5, count) * side / 32
    _draw_circle(plan, positions, side, rng)


def _draw_circle(plan: _Plan, positions: Indices, side: int, rng: np.random.Generator) -> None:
    plan.centre[positions] = rng.uniform(-side / 16, side / 16, (2, len(positions))).T
    plan.radius[positions] = rng.uniform(*RADIUS, len(positions)) * side


def _draw_members(members: Sequence[Indices], labels: Indices, rng: np.random.Generator) -> Indices:
    """A random image of each label."""
    return np.array([rng.choice(members[label]) for label in labels], dtype=np.int64)
