"""Out images made from the known classes themselves: their surroundings with another middle.

A network that tells a sign from the others by its shape and colour alone takes every new sign of
that shape and colour for it.  Shown these images as outs, it has to look at what stands in the
middle.  They are not in the paper.
"""

import numpy as np
from numpy.typing import NDArray

from knowbound.data.source import Source
from knowbound.labels import OUT

RADIUS = (0.22, 0.36)
"""Of the circle that is replaced, in shares of the shorter side."""
STROKES = 3
"""At most so many lines in a wiped middle."""
CHUNK = 1024


def composed_images(source: Source, count: int, rng: np.random.Generator) -> Source:
    """``count`` unlabelled images of uint8, "Composed": every second one with a turned middle, the
    others with a wiped one.

    turned: the middle of an image of another class, turned by 90, 180 or 270 degrees; wiped: the
    middle filled with its own median colour and crossed by up to three lines of a colour found in
    it.  Classes are drawn equally often.  For classes that show something in the middle of the
    image which means nothing when turned; source: labels 0..C-1 of at least two classes. Raises
    ValueError for another source or a shape that is not square.
    """
    members = [np.flatnonzero(source.labels == label) for label in range(len(source.class_names))]
    channels, height, width = source.image_shape
    if len(members) < 2 or not all(len(m) for m in members) or height != width:
        raise ValueError(
            f"images of {len(members)} classes and the shape {source.image_shape} were given; "
            "expected at least two classes with images, square"
        )
    images = np.empty((count, channels, height, width), dtype=np.uint8)
    for start in range(0, count, CHUNK):
        chunk = images[start : start + CHUNK]
        chunk[0::2] = _with_middle(*_turned(source, members, len(chunk[0::2]), rng), rng)
        chunk[1::2] = _with_middle(*_wiped(source, members, len(chunk[1::2]), rng), rng)
    return Source("Composed", images, np.full(count, OUT, dtype=np.int64))


Images = NDArray[np.float32]


def _turned(
    source: Source, members: list[NDArray[np.int64]], count: int, rng: np.random.Generator
) -> tuple[Images, Images]:
    """(N, C, H, W) surroundings, and middles of other classes, turned."""
    first = rng.integers(len(members), size=count)
    second = (first + rng.integers(1, len(members), size=count)) % len(members)
    surroundings, middles = _draw(source, members, first, rng), _draw(source, members, second, rng)
    turns = rng.integers(1, 4, size=count)
    for turn in (1, 2, 3):
        middles[turns == turn] = np.rot90(middles[turns == turn], turn, axes=(2, 3))
    return surroundings, middles


def _wiped(
    source: Source, members: list[NDArray[np.int64]], count: int, rng: np.random.Generator
) -> tuple[Images, Images]:
    """(N, C, H, W) surroundings, and their own middles wiped and crossed by lines."""
    images = _draw(source, members, rng.integers(len(members), size=count), rng)
    side = images.shape[2]
    low, high = side // 4, 3 * side // 4
    inner = images[:, :, low:high, low:high].reshape(*images.shape[:2], -1)
    middles = (
        np.repeat(np.median(inner, axis=2), side * side, axis=1)
        .reshape(images.shape)
        .astype(np.float32)
    )
    ink = np.take_along_axis(inner, rng.integers(inner.shape[2], size=(count, 1, 1)), axis=2)[
        ..., None
    ]
    used = rng.integers(STROKES + 1, size=count)
    for stroke in range(STROKES):
        cover = _line(count, side, rng) * (stroke < used)[:, None, None]
        middles += cover[:, None] * (ink - middles)
    return images, middles


def _with_middle(
    surroundings: Images, middles: Images, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The middles in a circle with a soft edge, near the centre of the surroundings."""
    count, side = len(surroundings), surroundings.shape[2]
    centre = side / 2 + rng.uniform(-side / 16, side / 16, (2, count, 1, 1))
    radius = rng.uniform(*RADIUS, (count, 1, 1)) * side
    rows, columns = np.mgrid[0:side, 0:side]
    inside = np.clip((radius - np.hypot(rows - centre[0], columns - centre[1])) / 2 + 0.5, 0, 1)[
        :, None
    ]
    composed: NDArray[np.uint8] = (
        np.rint(surroundings + inside * (middles - surroundings)).clip(0, 255).astype(np.uint8)
    )
    return composed


def _line(count: int, side: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(N, H, W) in 0..1: how far a pixel is covered by a line between two random points, 2 to 5 of
    32 pixels wide."""
    start, end = rng.uniform(0.2 * side, 0.8 * side, (2, count, 2, 1, 1))
    rows, columns = np.mgrid[0:side, 0:side]
    along = end - start
    length = np.maximum((along**2).sum(axis=1), 1e-9)
    share = ((rows - start[:, 0]) * along[:, 0] + (columns - start[:, 1]) * along[:, 1]) / length
    nearest = start + np.clip(share, 0, 1)[:, None] * along
    distance = np.hypot(rows - nearest[:, 0], columns - nearest[:, 1])
    cover: NDArray[np.float64] = np.clip(
        rng.uniform(1, 2.5, (count, 1, 1)) * side / 32 - distance + 0.5, 0, 1
    )
    return cover


def _draw(
    source: Source,
    members: list[NDArray[np.int64]],
    labels: NDArray[np.int64],
    rng: np.random.Generator,
) -> Images:
    """(N, C, H, W) float32 in 0..255: a random image of each label."""
    indices = np.array([rng.choice(members[label]) for label in labels], dtype=np.int64)
    pixels = source.images(indices)
    return pixels.astype(np.float32) * (1.0 if pixels.dtype == np.uint8 else 255.0)
