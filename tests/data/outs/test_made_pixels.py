"""Images made when asked for: the same by any index, and none made before."""

import numpy as np
from numpy.typing import NDArray

from knowbound.data.outs.made_pixels import CHUNK, MadePixels, keep_in_memory, made_source


class Counting:
    """Image n is filled with n; remembers what was made."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def __call__(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        self.made += positions.tolist()
        full = np.broadcast_to(positions[:, None, None, None], (len(positions), 1, 2, 3))
        return full.astype(np.float32)


def test_any_index_gives_the_same_images_and_makes_no_others() -> None:
    make = Counting()
    source = made_source("made", make, 2 * CHUNK + 5, (1, 2, 3), np.float32)
    assert make.made == []
    assert isinstance(source.pixels, MadePixels)
    assert source.pixels.shape == (2 * CHUNK + 5, 1, 2, 3)
    assert len(source.pixels) == len(source) == 2 * CHUNK + 5
    assert (source.labels == -1).all()
    assert (source.images(slice(3, 5))[:, 0, 0, 0] == [3, 4]).all()
    assert (source.images(np.array([7, 2, 7]))[:, 0, 0, 0] == [7, 2, 7]).all()
    assert make.made == [3, 4, 7, 2, 7]
    assert source.pixels[6].shape == (1, 2, 3)
    assert source.pixels[np.arange(len(source)) == 9][0, 0, 0, 0] == 9
    assert (source.images(slice(None))[:, 0, 1, 2] == np.arange(len(source))).all()


def test_a_subset_makes_none() -> None:
    make = Counting()
    source = made_source("made", make, 10, (1, 2, 3), np.float32)
    taken = source.take(np.array([8, 1])).take(np.array([1, 0, 0]))
    assert make.made == []
    assert (taken.images(slice(None))[:, 0, 0, 0] == [1, 8, 8]).all()


def test_kept_in_memory_up_to_the_limit() -> None:
    make = Counting()
    source = made_source("made", make, 10, (1, 2, 3), np.float32)
    size = 10 * 6 * 4
    assert keep_in_memory(source, size - 1) is source
    held = keep_in_memory(source, size)
    assert isinstance(held.pixels, np.ndarray)
    assert (held.pixels == source.images(slice(None))).all()
