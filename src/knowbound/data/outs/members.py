"""The images of each class, for outliers that are made of two classes."""

import numpy as np
from numpy.typing import NDArray

from knowbound.data.source import Source


def members_of(source: Source, purpose: str) -> list[NDArray[np.int64]]:
    """Indices of the images of each class that has some.

    Args:
        source: images with labels 0..C-1.
        purpose: why it takes two classes, for the error.

    Raises:
        ValueError: fewer than two classes have images.
    """
    members = [np.flatnonzero(source.labels == label) for label in range(len(source.class_names))]
    members = [indices for indices in members if len(indices)]
    if len(members) < 2:
        raise ValueError(
            f"{source.name!r} has images of {len(members)} class; expected at least two classes, "
            f"{purpose}"
        )
    return members
