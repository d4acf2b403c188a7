"""Recoloured images: the shapes and shades of known ones, pixel for pixel, in other colours."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from knowbound.data.outs.composed import composed_images
from knowbound.data.outs.recoloured import (
    CORNERS,
    mapped_colours,
    other_order,
    other_palette,
    recoloured_images,
)
from knowbound.data.source import Source


def source(channels: int = 3, classes: int = 2, count: int = 60) -> Source:
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(count, channels, 12, 12)).astype(np.uint8)
    names = tuple("abc"[:classes])
    return Source("known", pixels, np.arange(count, dtype=np.int64) % classes, names)


def colours(count: int) -> NDArray[np.float32]:
    """Images (count, 3, 2, 2) of random colours, black, white, grey and pure ones among them."""
    rng = np.random.default_rng(3)
    images = rng.random((count, 3, 2, 2)).astype(np.float32)
    for n, colour in enumerate([*CORNERS, (0.4, 0.4, 0.4)]):
        images[n, :, 0, 0] = colour
    return images


def test_each_image_has_its_own_channels_in_one_of_six_orders_and_its_label() -> None:
    known = source()
    changed = other_order(known, np.random.default_rng(1))
    found = set()
    for before, after in zip(known.images(slice(None)), changed.images(slice(None)), strict=True):
        orders = [o for o in permutations(range(3)) if (before[list(o)] == after).all()]
        assert len(orders) == 1
        found.update(orders)
    assert len(found) == 6


def test_a_palette_gives_each_corner_its_colour_and_interpolates_between() -> None:
    images = colours(12)
    corners = np.random.default_rng(5).integers(2, size=(12, 8, 3)).astype(np.float32)
    changed = mapped_colours(images, corners)
    for n, image in enumerate(images):
        for row in range(2):
            for column in range(2):
                red, green, blue = image[:, row, column]
                expected = np.zeros(3)
                for corner, becomes in zip(CORNERS, corners[n], strict=True):
                    near = red if corner[0] else 1 - red
                    near *= green if corner[1] else 1 - green
                    near *= blue if corner[2] else 1 - blue
                    expected += near * becomes
                np.testing.assert_allclose(changed[n, :, row, column], expected, atol=1e-5)
    same = np.broadcast_to(CORNERS.astype(np.float32), (12, 8, 3))
    np.testing.assert_allclose(mapped_colours(images, same), images, atol=1e-6)


@pytest.mark.parametrize(("change", "most"), [(other_order, 6), (other_palette, 60)])
def test_each_image_is_changed_in_its_own_way_and_keeps_its_label(
    change: Callable[[Source, np.random.Generator], Source], most: int
) -> None:
    known = source()
    one = np.repeat(known.pixels[:1], 60, axis=0)
    same = Source("known", one, known.labels, known.class_names)
    changed = change(same, np.random.default_rng(1))
    images = changed.images(slice(None))
    assert images.dtype == np.uint8
    assert len({image.tobytes() for image in images}) == most
    np.testing.assert_array_equal(changed.labels, known.labels)
    assert changed.class_names == known.class_names
    some = changed.take(np.array([7, 2]))
    np.testing.assert_array_equal(some.images(slice(None)), images[[7, 2]])
    floats = Source("known", (one / 255).astype(np.float32), known.labels, known.class_names)
    again = change(floats, np.random.default_rng(1)).images(slice(None))
    assert again.dtype == np.float32
    np.testing.assert_allclose(again, images / 255, atol=0.5 / 255 + 1e-5)


def test_an_eighth_has_another_palette_and_the_others_are_composed_in_other_colours() -> None:
    known = source()
    palette, pieces = recoloured_images(known, 40, np.random.default_rng(2))
    assert [len(images) for images in (palette, pieces)] == [5, 35]
    rng = np.random.default_rng(2)
    expected = other_palette(known.take(rng.integers(60, size=5)), rng)
    np.testing.assert_array_equal(palette.images(slice(None)), expected.images(slice(None)))
    expected = composed_images(other_order(known, rng), 35, rng)
    np.testing.assert_array_equal(pieces.images(slice(None)), expected.images(slice(None)))
    assert (palette.labels < 0).all()
    assert (pieces.labels < 0).all()


def test_a_single_class_gives_whole_images() -> None:
    known = source(classes=1, count=3)
    palette, others = recoloured_images(known, 20, np.random.default_rng(2))
    originals = {
        image[list(o)].tobytes() for image in known.pixels[:] for o in permutations(range(3))
    }
    assert [len(palette), len(others)] == [2, 18]
    assert {image.tobytes() for image in others.images(slice(None))} <= originals


def test_a_single_image_gives_one() -> None:
    (made,) = recoloured_images(source(classes=1, count=1), 1, np.random.default_rng(2))
    assert len(made) == 1


def test_grey_images_are_refused() -> None:
    with pytest.raises(ValueError, match="expected three"):
        recoloured_images(source(1), 4, np.random.default_rng(0))
