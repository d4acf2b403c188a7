"""Images of pure noise: the anomaly that needs no photograph."""

import numpy as np

from knowbound.data.source import Source
from knowbound.labels import OUT


def gaussian_noise(
    count: int,
    image_shape: tuple[int, int, int],
    rng: np.random.Generator,
    *,
    mean: float = 0.5,
    std: float = 1.0,
) -> Source:
    """Images of independent N(mean, std) values clipped to [0, 1], float32, every label ``OUT``.

    N(0.5, 1) is the Gaussian noise of the paper's Tables 1-4 and of ODIN: 31% of the values are cut
    to 0, 31% to 1.

    Args:
        count: how many.
        image_shape: (C, H, W).
        rng: draws them.
        mean: of each value.
        std: of each value, 0 or more.

    Raises:
        ValueError: a negative count or std.
    """
    if count < 0 or std < 0:
        raise ValueError(
            f"{count} images with a standard deviation of {std} were asked for; expected neither "
            "below 0"
        )
    pixels = np.empty((count, *image_shape), dtype=np.float32)
    rng.standard_normal(
        dtype=np.float32, out=pixels
    )  # in place, all of it: memory stays at the size of the answer
    pixels *= np.float32(std)
    pixels += np.float32(mean)
    np.clip(pixels, 0, 1, out=pixels)
    return Source("Gaussian noise", pixels, np.full(count, OUT, dtype=np.int64))
