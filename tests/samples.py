"""Small sets that tests make for themselves: blobs of light at different places, one place a
class."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from knowbound.data.source import Source

PLACES = ((3, 3), (3, 12), (12, 3), (12, 12), (8, 8))


def blob_images(
    labels: NDArray[np.int64], rng: np.random.Generator, side: int = 16, channels: int = 1
) -> NDArray[np.uint8]:
    """(N, channels, side, side): a bright spot whose place tells the class, on a dark noisy
    ground."""
    rows, columns = np.mgrid[0:side, 0:side]
    images = rng.integers(0, 40, (len(labels), channels, side, side)).astype(np.float64)
    for image, label in zip(images, labels, strict=True):
        row, column = np.array(PLACES[label]) * side / 16 + rng.normal(0, 0.4, 2)
        image += 200 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 6)
    return np.clip(images, 0, 255).astype(np.uint8)


def blobs(
    per_class: int = 40, classes: int = 3, seed: int = 0, first: int = 0, name: str = "blobs"
) -> Source:
    """A source of ``classes`` classes, named by their place's number."""
    labels = np.repeat(np.arange(classes, dtype=np.int64), per_class)
    images = blob_images(labels + first, np.random.default_rng(seed))
    return Source(name, images, labels, tuple(f"place {first + c}" for c in range(classes)))


def write_folder(folder: "object", source: Source) -> None:
    """The source as ``folder/class/number.png``."""
    from pathlib import Path

    for index, (image, label) in enumerate(
        zip(source.images(slice(None)), source.labels, strict=True)
    ):
        place = Path(str(folder)) / (source.class_names[label] if source.class_names else "")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)).save(
            place / f"{index}.png"
        )
