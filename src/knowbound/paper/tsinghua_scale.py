"""What ``--scale cpu`` and ``--scale paper`` are for Tables 2 and 4: a network and how long it trains, on what."""

from dataclasses import dataclass, replace

from knowbound.data.augmentation import Augmentation
from knowbound.errors import UserError
from knowbound.objectives.batches import BalancedBatches
from knowbound.training import Training

AUGMENTATION = Augmentation(shift=3, rotation=10.0, scale=0.1, brightness=0.3, contrast=0.3)


@dataclass(frozen=True)
class Scale:
    """A network and its training: what differs between ``--scale cpu`` and ``--scale paper``."""

    name: str
    depth: int
    widen: int
    training: Training
    batches: BalancedBatches
    """Of ML and ODM; cross-entropy gets as many images a step as ODM."""
    same_share: float | None = None
    """What same-class pairs weigh together in the loss of ML and ODM (``Contrastive``)."""
    gain: float = 1.0
    """Factor on the first weights of the last layer of ML and ODM (``WideResNet``)."""
    size: int = 32
    """Side of all images, in pixels."""
    base: Training | None = None
    """If given, ML and ODM go on from one network that was trained so, on the split's in images alone (``shared_base``)."""

    @property
    def backbone_name(self) -> str:
        """``WRN-depth-width``."""
        return f"WRN-{self.depth}-{self.widen}"

    def compiled(self, compile: bool | None) -> "Scale":
        """The same with that choice of ``torch.compile``, as in ``Training``."""
        base = replace(self.base, compile=compile) if self.base else None
        return replace(self, training=replace(self.training, compile=compile), base=base)


BASE = Training(
    steps=2_400, learning_rate=4e-3, weight_decay=0.05, rise=0.1, augmentation=AUGMENTATION,
    resolution=((0.0, 0.67), (0.4, 0.83), (0.8, 1.0)),
)  # fmt: skip
CPU = Scale(
    "cpu", 16, 2,
    training=replace(BASE, steps=500, learning_rate=2e-3, resolution=((0.0, 1.0),)),
    batches=BalancedBatches(images=48, outs=16), same_share=0.25, gain=10.0, size=24, base=BASE,
)  # fmt: skip
"""Six rows in eleven to thirty minutes on 2 cores: images of 16, 20, then 24 pixels, and a base that rows share."""
PAPER = Scale(
    "paper", 28, 10,
    training=Training(steps=10_000, learning_rate=1e-4, schedule="constant", augmentation=AUGMENTATION),
    batches=BalancedBatches(images=96, outs=32),
)  # fmt: skip
"""WRN-28-10 with Adam at 1e-4 for 10,000 steps (Section 4.2).  The paper names no batch size and no augmentation."""


def choose_scale(name: str, *, compile: bool | None = None) -> Scale:
    """The scale of that name, ``cpu`` or ``paper``; compile: as in ``Training``.  Raises UserError for another name."""
    scales = {scale.name: scale for scale in (CPU, PAPER)}
    if name not in scales:
        raise UserError(f"the scale {name!r} was asked for; expected one of {', '.join(scales)}")
    return scales[name].compiled(compile)


ABOUT_SCALES = (
    "Scale `cpu`: WRN-16-2, everything at 24 pixels. ML and ODM of a split go on from one network, which was trained with the "
    f"contrastive loss on {BASE.steps:,} batches of 64 in images of 16, then 20, then 24 pixels; each goes on for "
    f"{CPU.training.steps} steps of 48 in images and, for ODM, 16 outs. ODIN is trained from the start, on "
    f"{BASE.steps + CPU.training.steps:,} batches of 64. Same-class pairs weigh a quarter of the loss, and the last layer starts "
    "with ten times the usual weights. Scale `paper`: WRN-28-10, 10,000 steps of Adam at 1e-4."
)
