"""What teaches the domain score, beside the known images: novelties and anomalies, made and given.

They are the same for every boundary on the same images: no draw here is part of a training's
randomness.
"""

from collections.abc import Sequence

import numpy as np

from knowbound.data.outs.anomalies import usual_anomalies
from knowbound.data.outs.recoloured import recoloured_images
from knowbound.data.source import Source

ANOMALIES_EACH, LEAST_ANOMALIES, MOST_ANOMALIES = 6, 2000, 6000
"""Synthetic anomalies for each known image, and how many at least and at most."""
RECOLOURED_IMAGES = 3000
"""Known ones in other colours, most of them in pieces: as many as there are known images, at most
so many."""
GIVEN_IMAGES = 4000
"""At most so many of each set of seen-out images."""


def near_sources(known: Source, given: Sequence[Source]) -> list[Source]:
    """``near`` of ``Domain.fit``, on the side of the known images: seen-out images of the
    same kind of picture, and known images in other colours, where there are colours.

    Args:
        known: in-distribution training images (N, C, H, W), labels 0..C-1.
        given: sets of seen-out images, of the shape of the known ones.

    Returns:
        Sources without labels; none where nothing was given and the images are grey.
    """
    if known.image_shape[0] != 3 or not len(known):
        return _some(given)
    count = min(len(known), RECOLOURED_IMAGES)
    return [*_some(given), *recoloured_images(known, count, np.random.default_rng(0))]


def far_sources(known: Source, given: Sequence[Source]) -> list[Source]:
    """``far`` of ``Domain.fit``: synthetic anomalies, and those that were given.

    Args:
        known: in-distribution training images (N, C, H, W), labels 0..C-1.
        given: sets of seen-out images, of the shape of the known ones.

    Returns:
        Sources without labels, the synthetic anomalies first.
    """
    count = max(LEAST_ANOMALIES, min(ANOMALIES_EACH * len(known), MOST_ANOMALIES))
    return [usual_anomalies(known.image_shape, count), *_some(given)]


def _some(sources: Sequence[Source]) -> list[Source]:
    return [
        source.sample(GIVEN_IMAGES, np.random.default_rng(0)) for source in sources if len(source)
    ]
