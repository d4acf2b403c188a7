"""What each network is trained with where nothing is asked for, as it served the paper's data."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from knowbound.backbones import (
    Backbone,
    EfficientNetLite,
    LeNet,
    Pretrained,
    WideResNet,
    efficientnet_lite,
)
from knowbound.backbones.backbone import Depth
from knowbound.backbones.efficientnet_lite import PUBLISHED, Variant
from knowbound.backbones.pretrained import pretrained_side
from knowbound.building.tuning import Tuning
from knowbound.data.augmentation import Augmentation
from knowbound.data.preprocessing import Fit, Preprocessing
from knowbound.errors import UserError
from knowbound.objectives.batches import BalancedBatches
from knowbound.training import Training

Maker = Callable[..., Backbone]
"""From the heads' sizes, as keyword arguments, to a network with fresh weights."""


@dataclass(frozen=True)
class Recipe:
    """A network, and what it is trained with where nothing is asked for.

    side: in pixels, of the square images it takes; make: from the preprocessing and a gain to what
    makes the network; training: from the side to a training; batches: of a metric loss;
    same_share: what same-class pairs weigh in it; colour: whether ``auto`` takes it for colour; fit: how a picture
    becomes square.
    """

    side: int
    make: Callable[[Preprocessing, float], Maker]
    training: Callable[[int], Training]
    batches: BalancedBatches
    same_share: float | None
    colour: bool
    fit: Fit = "stretch"


@dataclass(frozen=True)
class FrozenRecipe:
    """A network whose weights are published and stay as they are.

    name: for people and files; side: in pixels, of the square images it takes where
    nothing is asked for; full_side: of those it was trained on; make: from the channels of an
    image, 1 or 3, to the network; detector: on its features; pooling: of its features, None where
    it has one alone; fit: how a picture becomes square; fixed: whether it takes no other side.
    """

    name: str
    side: int
    full_side: int
    make: Callable[[int], Backbone]
    detector: str = "relative_centre"
    pooling: str | None = "middle"
    fit: Fit = "crop"
    fixed: bool = False

    def side_for(self, shorter: int, pictures: int, asked: int | None = None) -> int:
        """The side for a folder: the full one where the pictures have about as much to show and are
        few.

        Args:
            shorter: median of the pictures' shorter sides, in pixels.
            pictures: how many there are.
            asked: the side that was asked for, if one was.

        Raises:
            UserError: a side that the network cannot take was asked for.
        """
        if self.fixed and asked not in (None, self.side):
            raise UserError(
                f"images of {asked} pixels were asked for, but {self.name} takes {self.side} alone; "
                "leave --size out"
            )
        if asked is not None:
            return asked
        full = shorter >= ENLARGED * self.full_side and pictures <= FEW_PICTURES
        return self.full_side if full else self.side


def recipe_for(name: str) -> Recipe | FrozenRecipe:
    """The recipe of a network.

    Args:
        name: of ``RECIPES`` or ``FROZEN``; else of a vision network of ``transformers``: a folder, or
            a name on the hub with its owner, such as "facebook/dinov2-small".

    Raises:
        UserError: an unknown name, or a network that cannot be read.
    """
    recipes: dict[str, Recipe | FrozenRecipe] = {**RECIPES, **FROZEN}
    if name in recipes:
        return recipes[name]
    if Path(name).is_dir() or "/" in name:
        return _pretrained(name)
    raise UserError(
        f"the backbone {name!r} is unknown; expected one of auto, {', '.join(recipes)}, or a vision "
        "network of transformers: a folder, or a name on the hub such as facebook/dinov2-small"
    )


def _pretrained(name: str) -> FrozenRecipe:
    """The recipe of a network of ``transformers``; of its files only the small ones are read."""
    side = pretrained_side(name)
    plain = Path(name).resolve().name if Path(name).is_dir() else name
    return FrozenRecipe(
        name=re.sub(r"[^A-Za-z0-9._-]+", "-", plain).lstrip("._-")[:100] or "network",
        side=side,
        full_side=side,
        make=lambda channels: Pretrained.load(name, channels=channels),
        pooling=None,
        fixed=True,
    )


def _lenet(preprocessing: Preprocessing, gain: float) -> Maker:
    del gain  # its embedding starts wide enough
    return partial(
        LeNet,
        channels=preprocessing.channels,
        height=preprocessing.height,
        width=preprocessing.width,
    )


def _wide(depth: int, widen: int) -> Callable[[Preprocessing, float], Maker]:
    def make(preprocessing: Preprocessing, gain: float) -> Maker:
        return partial(
            WideResNet, depth=depth, widen=widen, channels=preprocessing.channels, gain=gain
        )

    return make


def _lite(variant: Variant) -> Callable[[int], Backbone]:
    def make(channels: int) -> Backbone:
        return EfficientNetLite.pretrained(variant=variant, channels=channels)

    return make


def _digits(side: int) -> Training:
    """As they served digits (LeNet, Table 3)."""
    return Training(
        steps=1500, learning_rate=2e-3, augmentation=Augmentation(shift=max(1, side // 14))
    )


def _signs(side: int) -> Training:
    """As they served traffic signs (WRN, Table 2); small images first, from 32 pixels on."""
    return Training(
        steps=1400,
        learning_rate=4e-3,
        weight_decay=0.05,
        augmentation=Augmentation(
            shift=max(1, side // 10), rotation=10.0, scale=0.1, brightness=0.3, contrast=0.3
        ),
        resolution=((0.0, 0.5), (0.33, 0.75), (0.73, 1.0)) if side >= 32 else ((0.0, 1.0),),
    )


WIDE_BATCHES = BalancedBatches(images=96, outs=32)
"""For networks whose step is expensive."""
WIDE_SAME_SHARE = 0.25
"""Of all pairs of many classes hardly any are of the same class.  The trials are in
docs/traffic_signs.md."""
RECIPES = {
    "lenet": Recipe(28, _lenet, _digits, BalancedBatches(), None, colour=False),
    "wrn-16-2": Recipe(32, _wide(16, 2), _signs, WIDE_BATCHES, WIDE_SAME_SHARE, colour=True),
    "wrn-28-10": Recipe(32, _wide(28, 10), _signs, WIDE_BATCHES, WIDE_SAME_SHARE, colour=True),
}
"""By the names that ``fit --backbone`` takes."""
VARIANTS: dict[str, Variant] = {
    "efficientnet-lite0": "lite0",
    "efficientnet-lite1": "lite1",
    "efficientnet-lite2": "lite2",
}
ENLARGED = 0.9
"""A picture may be enlarged from so many of its pixels a side."""
FEW_PICTURES = 2000
"""Up to which a frozen network may take three times as long for each."""
FROZEN = {
    name: FrozenRecipe(name, 160, PUBLISHED[variant].side, _lite(variant))
    for name, variant in VARIANTS.items()
}
"""By the names that ``fit --backbone`` takes.  What the size is worth is in docs/photographs.md."""

TUNINGS: dict[Depth, Tuning] = {
    "last": Tuning("last", steps=30, learning_rate=3e-4),
    "all": Tuning("all", steps=30, learning_rate=1e-4),
}
"""How photographs fine-tune a network.  The trials are in docs/photographs.md."""


def has_weights(name: str) -> bool:
    """Whether the weights of a frozen network are installed.

    Args:
        name: of ``FROZEN``.
    """
    return efficientnet_lite.has_weights(VARIANTS[name])
