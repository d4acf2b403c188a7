"""Recoloured copies: pixel for pixel a known image, its colours in another order."""

import numpy as np
import pytest

from knowbound.data.outs.recoloured import recoloured_copies
from knowbound.data.source import Source


def source(channels: int = 3, count: int = 4) -> Source:
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(count, channels, 5, 6)).astype(np.uint8)
    return Source("known", pixels, np.zeros(count, dtype=np.int64), ("a",))


def test_each_is_a_known_image_with_its_channels_in_each_other_order() -> None:
    known = source()
    made = recoloured_copies(known, 200, np.random.default_rng(1))
    originals = known.images(slice(None))
    found = set()
    for image in made.images(slice(None)):
        (which,) = [
            (number, order)
            for number, original in enumerate(originals)
            for order in ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
            if (original[list(order)] == image).all()
        ]
        found.add(which)
    assert len(found) == 4 * 5
    assert (made.labels < 0).all()
    assert made.image_shape == (3, 5, 6)
    assert made.pixels.dtype == np.uint8


def test_the_same_generator_makes_the_same_images_whenever_asked() -> None:
    made, again = (recoloured_copies(source(), 9, np.random.default_rng(2)) for _ in range(2))
    np.testing.assert_array_equal(made.images(slice(None)), again.images(slice(None)))
    np.testing.assert_array_equal(made.images([7, 2]), again.images(slice(None))[[7, 2]])


@pytest.mark.parametrize(("channels", "count"), [(1, 4), (3, 0)])
def test_what_has_no_colours_is_refused(channels: int, count: int) -> None:
    with pytest.raises(ValueError, match="at least one image of three"):
        recoloured_copies(source(channels, count), 3, np.random.default_rng(0))
