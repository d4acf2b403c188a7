"""Pictures that all become one colour, from which nothing can be learned."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knowbound.data.pictures.names import printable
from knowbound.data.pictures.value_loss import Loss


class OneColour:
    """Whether all images seen so far are of one and the same colour; colour: which, else None."""

    def __init__(self) -> None:
        self.colour: tuple[int, ...] | None = None
        self._may_be = True

    def look(self, image: NDArray[np.uint8]) -> None:
        """Take one more image, (C, H, W), into account; nothing is computed once two differ."""
        if not self._may_be:
            return
        colour = tuple(int(channel) for channel in image[:, 0, 0])
        flat = bool((image == image[:, :1, :1]).all())
        if not flat or self.colour not in (None, colour):
            self.colour, self._may_be = None, False
        else:
            self.colour = colour


def say_one_colour(
    folder: Path, count: int, colour: tuple[int, ...], losses: Sequence[Loss]
) -> str:
    """The sentence that refuses them, and what may help."""
    advice = "check that these are the pictures you mean"
    if any(loss.is_blank for loss in losses):
        advice = "show their transparent parts with --background auto"
    elif any(loss.collapses for loss in losses):
        advice = "keep their values with --range auto"
    return (
        f"all {count:,} pictures of {printable(folder)} become one colour, {colour} of 255, and "
        f"nothing can be learned from them; {advice}"
    )
