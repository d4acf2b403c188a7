"""What a network that is fine-tuned is given of a batch: random views of the images."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from knowbound.backbones.backbone import Halves
from knowbound.building.tuning import Tuning
from knowbound.data.source import Source, to_unit_interval

Views = Callable[[NDArray[np.int64], int | None], Tensor]
"""From positions of images and the number of a step to what the tuned part of a network is given of
a random view of each; without a step, of the images themselves."""
BATCH = 64
"""Images given to the blocks that stay as they are, at once."""
KEPT = 8000
"""Views whose maps are kept for the last layers at most; two of each image are in any case."""


def images_at(source: Source, positions: NDArray[np.int64]) -> Tensor:
    """Some of the images, (B, C, H, W) float32 in [0, 1].

    Args:
        source: of N images.
        positions: (B,) of those wanted.
    """
    return torch.from_numpy(to_unit_interval(source.images(positions)))


def _mixed(seed: int, key: int) -> int:
    return int(np.random.SeedSequence([seed, key]).generate_state(1)[0])


def views_of(halves: Halves, source: Source, mirrored: Tensor, tuning: Tuning) -> Views:
    """What the tuned part of a network is given of views of some images.

    For the last layers a few views of each image are taken once; of all of the network each batch
    has views of its own.

    Args:
        halves: of the network.
        source: of N images.
        mirrored: (C,) bool, which classes may be mirrored.
        tuning: how images are seen.
    """
    may = mirrored[torch.from_numpy(source.labels)]

    def seen(positions: NDArray[np.int64], key: int | None) -> Tensor:
        images = images_at(source, positions)
        if key is None:
            return images
        generator = torch.Generator().manual_seed(_mixed(tuning.seed, key))
        return tuning.views(images, may[positions], generator)

    if tuning.depth == "all":
        return lambda chosen, step: halves.before(seen(chosen, step))
    kept = _kept(halves.before, source, seen, tuning)

    def given(chosen: NDArray[np.int64], step: int | None) -> Tensor:
        if step is None:
            return kept[0, chosen].float()
        rng = np.random.default_rng([tuning.seed, step, 3])
        return kept[rng.integers(len(kept), size=len(chosen)), chosen].float()

    return given


@torch.no_grad()
def _kept(
    before: Callable[[Tensor], Tensor],
    source: Source,
    seen: Views,
    tuning: Tuning,
) -> Tensor:
    """(V, N, ...) what the last layers are given of views of the images; the first is the plain
    one."""
    count, kept = max(2, min(tuning.per_image, KEPT // len(source))), torch.empty(0)
    for view in range(count):
        for start in range(0, len(source), BATCH):
            some = np.arange(start, min(start + BATCH, len(source)))
            key = view * len(source) + start if view else None
            given = before(seen(some, key)).half()
            if not len(kept):
                kept = given.new_empty((count, len(source), *given.shape[1:]))
            kept[view, some] = given
    return kept
