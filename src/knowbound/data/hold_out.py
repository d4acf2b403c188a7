"""Some images of every class kept from training, to set thresholds with."""

import math

import numpy as np

from knowbound.data.source import Source
from knowbound.errors import UserError


def hold_out(
    source: Source, share: float, rng: np.random.Generator, least: int = 0
) -> tuple[Source, Source]:
    """(the rest, a random ``share`` of each class, and more of the largest until there are
    ``least``).

    At least two images of each class stay for training.  Raises UserError for a class too small to
    give both, and where there are not ``least`` to give.
    """
    counts = np.bincount(source.labels, minlength=len(source.class_names))
    few = [
        f"{name} ({count})"
        for name, count in zip(source.class_names, counts, strict=True)
        if count < 3
    ]
    if few:
        raise UserError(
            f"too few usable images of {', '.join(few)}; expected at least 3 of each class (2 to "
            "learn from, 1 to set the threshold with): add images or remove the folder"
        )
    wanted = np.minimum(np.maximum(1, np.rint(share * counts).astype(np.int64)), counts - 2)
    while wanted.sum() < min(least, (counts - 2).sum()):
        wanted[np.argmax(counts - wanted)] += 1
    if wanted.sum() < least:
        raise UserError(
            f"of {len(source)} images at most {wanted.sum()} can be held out, as 2 of each class "
            f"stay to learn from; expected at least {least} to set the threshold with: add "
            f"images, or choose an acceptance of at most "
            f"{math.floor(100 * (1 - 1 / wanted.sum())) / 100:g}"
        )
    taken = []
    for label, number in enumerate(wanted):
        taken.append(rng.choice(np.flatnonzero(source.labels == label), number, replace=False))
    held = np.sort(np.concatenate(taken))
    return source.take(np.setdiff1d(np.arange(len(source)), held)), source.take(held)
