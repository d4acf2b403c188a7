"""Recoloured images: pixel for pixel the known ones, their colours in another order."""

from itertools import permutations

import numpy as np
import pytest

from knowbound.data.outs.composed import composed_images
from knowbound.data.outs.recoloured import recoloured, recoloured_pieces
from knowbound.data.source import Source


def source(channels: int = 3, classes: int = 2, count: int = 60) -> Source:
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(count, channels, 12, 12)).astype(np.uint8)
    names = tuple("abc"[:classes])
    return Source("known", pixels, np.arange(count, dtype=np.int64) % classes, names)


def test_each_image_has_its_own_channels_in_one_of_six_orders_and_its_label() -> None:
    known = source()
    changed = recoloured(known, np.random.default_rng(1))
    found = set()
    for before, after in zip(known.images(slice(None)), changed.images(slice(None)), strict=True):
        orders = [o for o in permutations(range(3)) if (before[list(o)] == after).all()]
        assert len(orders) == 1
        found.update(orders)
    assert len(found) == 6
    np.testing.assert_array_equal(changed.labels, known.labels)
    assert changed.class_names == known.class_names
    some = changed.take(np.array([7, 2]))
    np.testing.assert_array_equal(some.images(slice(None)), changed.images(slice(None))[[7, 2]])


def test_pieces_are_composed_of_recoloured_images() -> None:
    made = recoloured_pieces(source(), 9, np.random.default_rng(2))
    rng = np.random.default_rng(2)
    expected = composed_images(recoloured(source(), rng), 9, rng)
    np.testing.assert_array_equal(made.images(slice(None)), expected.images(slice(None)))
    assert (made.labels < 0).all()


def test_a_single_class_gives_recoloured_images() -> None:
    known = source(classes=1, count=3)
    made = recoloured_pieces(known, 20, np.random.default_rng(2))
    originals = {
        image[list(o)].tobytes() for image in known.pixels[:] for o in permutations(range(3))
    }
    images = made.images(slice(None))
    assert len(images) == 20
    assert {image.tobytes() for image in images} <= originals
    assert (made.labels < 0).all()


def test_grey_images_are_refused() -> None:
    with pytest.raises(ValueError, match="expected three"):
        recoloured(source(1), np.random.default_rng(0))
