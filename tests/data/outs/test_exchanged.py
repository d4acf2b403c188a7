"""Exchanged patches: pixel by pixel from two images of different classes."""

from typing import Any

import numpy as np
import pytest

from knowbound.data.outs.exchanged import exchanged_patches
from knowbound.data.source import Source


def marked(height: int = 12, width: int = 12, channels: int = 1, dtype: Any = np.uint8) -> Source:
    """Three classes of four images; each pixel tells its place, its image and so its class."""
    labels = np.repeat(np.arange(3, dtype=np.int64), 4)
    images = np.empty((12, channels, height, width), dtype=np.float32)
    images[:] = 20 * np.arange(12)[:, None, None, None] + np.arange(width) % 20
    if dtype == np.float32:
        images /= 255
    return Source("marked", images.astype(dtype), labels, ("a", "b", "c"))


@pytest.mark.parametrize(("height", "width"), [(12, 12), (20, 12), (9, 20)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_rectangle_of_another_class(height: int, width: int, dtype: Any) -> None:
    source = marked(height, width, 3, dtype)
    made = exchanged_patches(source, 300, np.random.default_rng(0))
    assert (made.labels == -1).all()
    images = made.images(slice(None))
    assert images.dtype == dtype
    values = np.rint(images * (1 if dtype == np.uint8 else 255)).astype(int)
    assert (values % 20 == np.arange(width) % 20).all()  # every pixel stayed at its place
    owner = values[:, 0] // 20
    assert (values // 20 == owner[:, None]).all()
    firsts = []
    for image in owner:
        pieces, counts = np.unique(image, return_counts=True)
        assert len(pieces) == 2
        assert source.labels[pieces[0]] != source.labels[pieces[1]]
        rectangles = []
        for piece in pieces:
            rows, columns = np.nonzero(image == piece)
            box = (np.ptp(rows) + 1, np.ptp(columns) + 1)
            if box[0] * box[1] == counts[list(pieces).index(piece)]:
                rectangles.append((piece, box))
        inner, box = min(rectangles, key=lambda r: r[1][0] * r[1][1])
        for side, whole in zip(box, (height, width), strict=True):
            assert 0.35 * whole - 0.5 <= side <= 0.7 * whole + 0.5
        firsts.append(int(source.labels[pieces[pieces != inner][0]]))
    assert np.bincount(firsts).min() > 70  # classes equally often


def test_the_rectangle_lies_anywhere() -> None:
    owner = exchanged_patches(marked(), 400, np.random.default_rng(0)).images(slice(None))[:, 0]
    corners = owner[:, [0, 0, -1, -1], [0, -1, 0, -1]] // 20
    differs = (corners != np.median(corners, axis=1)[:, None]).mean(axis=0)
    assert (differs > 0.01).all()


def test_views_agree_and_seeds_repeat() -> None:
    source = marked()
    held, made, other = (
        exchanged_patches(source, 40, np.random.default_rng(seed), memory_limit=limit)
        for seed, limit in ((1, 2**30), (1, 0), (2, 2**30))
    )
    assert isinstance(held.pixels, np.ndarray)
    assert not isinstance(made.pixels, np.ndarray)
    assert held.sha256() == made.sha256() != other.sha256()
    chosen = np.array([39, 0, 0])
    assert (made.take(chosen).images(slice(None)) == held.images(chosen)).all()
    assert len(exchanged_patches(source, 0, np.random.default_rng(0))) == 0


def test_one_class_cannot() -> None:
    source = marked()
    one = source.take(np.flatnonzero(source.labels == 1))
    with pytest.raises(ValueError, match="at least two classes"):
        exchanged_patches(one, 5, np.random.default_rng(0))
