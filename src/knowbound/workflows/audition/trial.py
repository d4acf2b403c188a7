"""How one candidate for a folder's network did."""

from dataclasses import dataclass

from knowbound.building.frozen import FrozenNetwork
from knowbound.outputs import Field

REST = 0.5
"""Share of the errors that a whole training takes away from one of no steps: the other steps of a
training that was tried for a fifth take away 0.4.  Measured in docs/photographs.md."""
READ: tuple[Field, ...] = ("features",)
"""What the detector of a head reads."""


@dataclass(frozen=True)
class Head:
    """What is put on a frozen network.

    Attributes:
        pooling: of its features; None where it has one alone.
        detector: its name.
    """

    pooling: str | None
    detector: str

    def __str__(self) -> str:
        """In words, such as "relative_centre on features of the middle"."""
        return self.detector + pooling_words(self.pooling)


def pooling_words(pooling: str | None) -> str:
    """What a detector reads, to follow its name; nothing where there is no choice.

    Args:
        pooling: of the features.
    """
    if pooling is None:
        return ""
    return " on features of the middle" if pooling == "middle" else f" on {pooling} features"


@dataclass(frozen=True)
class Trial:
    """How a candidate did.

    Attributes:
        backbone: its name.
        pixels: side of the images it was given.
        how: what was done, such as "frozen" or "420 steps".
        accuracy: share of the held-out images of known classes that got their class.
        novelty_auroc: of held-out images of known classes against left-out classes; None where no
            class could be left out.
        seconds: that it took when it was measured.
        trained: share of its whole training that it had; 1 where nothing is trained.
        remembered: whether it was measured before, by the same command.
    """

    backbone: str
    pixels: int
    how: str
    accuracy: float
    novelty_auroc: float | None
    seconds: float
    trained: float = 1.0
    remembered: bool = False

    @property
    def expected(self) -> float:
        """The mark after the whole training: the other steps take away a share of the errors."""
        return 1 - (1 - self.mark) * (1 - REST * (1 - self.trained))

    @property
    def mark(self) -> float:
        """Mean of the two rates, or the one there is."""
        if self.novelty_auroc is None:
            return self.accuracy
        return (self.accuracy + self.novelty_auroc) / 2

    def __str__(self) -> str:
        """The numbers in percent."""
        novelty = "" if self.novelty_auroc is None else f", novelty AUROC {self.novelty_auroc:.1%}"
        before = " (measured before)" if self.remembered else f" ({self.seconds:.0f} s)"
        return (
            f"{self.backbone}, {self.pixels} pixels, {self.how}: accuracy {self.accuracy:.1%}"
            f"{novelty}{before}"
        )


def frozen_trial(
    frozen: FrozenNetwork,
    head: Head,
    accuracy: float,
    novelty: float | None,
    seconds: float,
    remembered: bool,
) -> Trial:
    """The trial of a frozen network.

    Args:
        frozen: the network.
        head: that was put on it.
        accuracy: on held-out images.
        novelty: the AUROC against left-out classes, or None.
        seconds: that it took.
        remembered: whether no image was embedded for it.
    """
    how = f"frozen, {head}"
    return Trial(frozen.name, frozen.side, how, accuracy, novelty, seconds, remembered=remembered)
