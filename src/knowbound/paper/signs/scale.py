"""What ``--scale cpu`` and ``--scale paper`` are for Tables 2 and 4: a network and how long it
trains, on what."""

from dataclasses import dataclass, replace

from knowbound.data.augmentation import Augmentation
from knowbound.data.outs.synthetic import USUAL_IMAGES
from knowbound.errors import UserError
from knowbound.objectives.batches import BalancedBatches
from knowbound.training.settings import Training

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
    """If given, ML and ODM start from one network that was trained so, on the split's
    in-distribution images alone (``shared_base``)."""
    synthetic: int = USUAL_IMAGES
    """Synthetic outliers of each kind."""

    @property
    def backbone_name(self) -> str:
        """``WRN-depth-width``."""
        return f"WRN-{self.depth}-{self.widen}"

    def compiled(self, compile: bool | None) -> "Scale":
        """The same with that choice of ``torch.compile``, as in ``Training``."""
        base = replace(self.base, compile=compile) if self.base else None
        return replace(self, training=replace(self.training, compile=compile), base=base)


BASE = Training(
    steps=2_400,
    learning_rate=4e-3,
    weight_decay=0.05,
    rise=0.1,
    augmentation=AUGMENTATION,
    resolution=((0.0, 0.5), (0.4, 0.75), (0.8, 1.0)),
)
CPU = Scale(
    "cpu",
    16,
    2,
    training=replace(BASE, steps=800, learning_rate=2e-3, resolution=((0.0, 1.0),)),
    batches=BalancedBatches(images=72, outs=24),
    same_share=0.25,
    gain=10.0,
    base=BASE,
)
"""Table 2 for 2 cores: a base that rows share, in images of 16, 24, then 32 pixels, and rows that
start from it."""
SHORT_CPU = replace(
    CPU,
    batches=BalancedBatches(images=48, outs=16),
    training=replace(CPU.training, steps=500),
    size=24,
    base=replace(BASE, resolution=((0.0, 0.67), (0.4, 0.83), (0.8, 1.0))),
)
"""Table 4 for 2 cores, ten times as many rows: images of 16, 20, then 24 pixels, and a third of
Table 2's time."""
PAPER = Scale(
    "paper",
    28,
    10,
    training=Training(
        steps=10_000, learning_rate=1e-4, schedule="constant", augmentation=AUGMENTATION
    ),
    batches=BalancedBatches(images=96, outs=32),
)
"""WRN-28-10 with Adam at 1e-4 for 10,000 steps (Section 4.2).  The paper names no batch size and no
augmentation."""


def choose_scale(name: str, *, cpu: Scale = CPU, compile: bool | None = None) -> Scale:
    """The scale of a name.

    Args:
        name: ``cpu`` or ``paper``.
        cpu: Table 2's, or Table 4's shorter one.
        compile: as in ``Training``.

    Raises:
        UserError: another name.
    """
    scales = {"cpu": cpu, "paper": PAPER}
    if name not in scales:
        raise UserError(f"the scale {name!r} was asked for; expected one of {', '.join(scales)}")
    return scales[name].compiled(compile)


def about_scales(cpu: Scale) -> str:
    """What the page of a table says of its two scales."""
    assert cpu.base
    batch = cpu.batches.images + cpu.batches.outs
    first, second, _ = (round(share * cpu.size) for _, share in cpu.base.resolution)
    return (
        f"Scale `cpu`: {cpu.backbone_name}, images of {cpu.size} pixels. ML and ODM of a split "
        f"start from one network, which was trained with the contrastive loss on "
        f"{cpu.base.steps:,} batches of {batch} in-distribution images, shrunk to {first}, then "
        f"{second} pixels at first; each has {cpu.training.steps} more steps of "
        f"{cpu.batches.images} in-distribution images and, for ODM, {cpu.batches.outs} seen-out images. ODIN is trained from the start, on "
        f"{cpu.base.steps + cpu.training.steps:,} batches of {batch}. Same-class pairs weigh a "
        f"quarter of the loss, and the last layer starts with ten times the usual weights. Scale "
        f"`paper`: {PAPER.backbone_name}, {PAPER.training.steps:,} steps of Adam at 1e-4."
    )
