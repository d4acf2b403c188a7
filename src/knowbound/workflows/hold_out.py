"""Which known images are kept from training, to set the threshold and to choose the detector by:
drawn again alike from what a model says of itself."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from knowbound.data.group_hold_out import draw_share, hold_out_groups
from knowbound.data.source import Source
from knowbound.errors import UserError
from knowbound.files import replace_file
from knowbound.values import JsonObject

CHOOSING = 0.25
"""Share of the held-out groups that the detector is chosen by."""
LEAST_CHOOSING = 40
"""Groups that it takes at least."""
NOTED = "hold_out.json"
"""The file beside a training's checkpoint that says what it held out."""

Positions = NDArray[np.int64]


class Held(NamedTuple):
    """Positions of known images that no network learns from, sorted.

    threshold: those that set it; choosing: others, that the detector is chosen by.
    """

    threshold: Positions
    choosing: Positions


@dataclass(frozen=True)
class HoldOut:
    """How images are kept from training.

    Attributes:
        seed: of the draw.
        share: of each class's groups; 0: none, every part is left out in turn.
        least: groups that must be held out, as ``least_groups`` says.
        choosing: whether some of them choose the detector, where they can be spared.
    """

    seed: int
    share: float
    least: int
    choosing: bool

    def to_dict(self) -> JsonObject:
        """As JSON values; ``HoldOut(**hold_out.to_dict())`` is the same one."""
        return asdict(self)

    def draw(self, source: Source, groups: Positions) -> Held:
        """The images that are kept from training.

        Args:
            source: N known images.
            groups: (N,) which of them belong together.

        Raises:
            UserError: too few images or groups.
        """
        if self.share == 0:
            none = np.empty(0, dtype=np.int64)
            return Held(none, none)
        kept = hold_out_groups(
            source.labels,
            groups,
            self.share,
            np.random.default_rng(self.seed),
            self.least,
            class_names=source.class_names,
        )
        choosing = kept[self._choosing(source.labels[kept], groups[kept])]
        return Held(np.setdiff1d(kept, choosing), choosing)

    def _choosing(self, labels: Positions, groups: Positions) -> Positions:
        """Which of the images kept from training choose the detector: a quarter of the groups,
        where the threshold can spare them, else none."""
        drawn = draw_share(labels, groups, CHOOSING, np.random.default_rng([self.seed, 11]))
        count = len(np.unique(groups[drawn]))
        spared = len(np.unique(groups)) - count >= 2 * (self.least + 1)
        return drawn if self.choosing and spared and count >= LEAST_CHOOSING else drawn[:0]


def note_hold_out(hold_out: HoldOut, training: JsonObject, output: Path) -> None:
    """Note what a training holds out, so that it is the same when it is resumed.

    Args:
        hold_out: what it holds out.
        training: the images and their groups, as JSON values.
        output: the model's folder.

    Raises:
        UserError: the note cannot be written.
    """
    noted = {"training": training, "hold_out": hold_out.to_dict()}
    replace_file(output / NOTED, json.dumps(noted).encode())


def resumed(wanted: HoldOut, training: JsonObject, output: Path) -> HoldOut:
    """What the training in a folder holds out.

    Another acceptance, confidence or largest error asks for another number of images.  The network
    has learned from those that were not held out at first, so these stay held out.

    Args:
        wanted: what is asked for now.
        training: as in ``note_hold_out``.
        output: the model's folder.

    Returns:
        The noted one.  ``wanted`` where there is none, or it is of other images or another draw:
        then the checkpoint tells the two trainings apart.

    """
    try:
        noted = json.loads((output / NOTED).read_bytes())
        kept = HoldOut(**noted["hold_out"])
    except (OSError, ValueError, TypeError, KeyError):
        return wanted
    same = (kept.seed, kept.share) == (wanted.seed, wanted.share)
    if not same or noted.get("training") != training:
        return wanted
    return HoldOut(kept.seed, kept.share, kept.least, wanted.choosing)


def check_enough(groups: Positions, least: int) -> None:
    """Check that what a resumed training held out is enough for what is asked for now.

    Args:
        groups: (H,) of the images that set the threshold.
        least: groups that it takes.

    Raises:
        UserError: there are fewer.
    """
    there = len(np.unique(groups))
    if there < least:
        raise UserError(
            f"the training to resume held out {there} groups of images to set the threshold from, "
            f"and the acceptance, confidence or largest error asked for now takes at least {least};"
            " resume it with what it began with, or leave out --resume to train again"
        )
