"""What was tried on a folder's own pictures, which network was chosen, and why."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from knowbound.values import JsonObject
from knowbound.workflows.audition.stage import Stage
from knowbound.workflows.audition.trial import Head, Trial

EACH_IN_TURN = "each class in turn"
"""What was left out in a survey."""


@dataclass(frozen=True)
class Audition:
    """What was tried, what was chosen, and why.

    Attributes:
        chosen: name of the network.
        reason: a sentence.
        trials: in the order they were held; empty where nothing had to be measured.
        surveyed: heads on frozen networks, each class left out in turn.
        head: of the chosen network; None where it is trained, or nothing was surveyed.
        left_out: names of the classes that no candidate learned, or ``EACH_IN_TURN``.
        known, new: pictures of known and of left-out classes that the candidates were judged on.
    """

    chosen: str
    reason: str
    trials: tuple[Trial, ...] = ()
    left_out: tuple[str, ...] = ()
    known: int = 0
    new: int = 0
    surveyed: tuple[Trial, ...] = ()
    head: Head | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """For people: each trial in a line, and the choice."""
        if not self.trials:
            return (self.reason,) if self.reason else ()
        left = f" and {self.new} of {', '.join(self.left_out)}, left out" if self.left_out else ""
        if self.left_out == (EACH_IN_TURN,):
            left = f", {EACH_IN_TURN} left out"
        others = [trial for trial in self.surveyed if trial not in self.trials]
        return (
            *((f"Heads on frozen networks, {EACH_IN_TURN} left out:",) if others else ()),
            *(f"  {trial}" for trial in others),
            f"Audition on {self.known} held-out pictures{left}:",
            *(f"  {trial}" for trial in self.trials),
            self.reason,
        )

    def to_dict(self) -> JsonObject:
        """As JSON values."""
        return asdict(self)


def judged(
    stage: Stage, trials: Sequence[Trial], surveyed: Sequence[Trial] = (), head: Head | None = None
) -> Audition:
    """What came of an audition.

    Args:
        stage: its images.
        trials: of the frozen network, and of one that was trained.
        surveyed: heads on frozen networks.
        head: of the frozen network.
    """
    chosen, reason = choose(trials)
    names = stage.large.source.class_names
    return Audition(
        chosen,
        reason,
        tuple(trials),
        tuple(name for label, name in enumerate(names) if label not in stage.known),
        int((stage.judged & stage.is_known).sum()),
        int((~stage.is_known).sum()),
        tuple(surveyed),
        head if chosen == trials[0].backbone else None,
    )


def enough(
    trial: Trial, held: int, surveyed: Sequence[Trial] = (), head: Head | None = None
) -> Audition:
    """What came of a survey that left nothing to be tried.

    Args:
        trial: of the frozen network, each class left out in turn.
        held: pictures held out.
        surveyed: heads on frozen networks, the chosen one too.
        head: of the frozen network.
    """
    return Audition(
        trial.backbone,
        f"Network: {trial.backbone}; with {trial.mark:.1%} on average little is left to win by a "
        "training, so none was tried.",
        (trial,),
        (EACH_IN_TURN,),
        held,
        surveyed=tuple(surveyed),
        head=head,
    )


def choose(trials: Sequence[Trial]) -> tuple[str, str]:
    """The name of the network of the best expected mark, and why.

    Args:
        trials: of the frozen network, and of one that was trained.
    """
    frozen, other = trials
    name = frozen.backbone if frozen.mark >= other.expected else other.backbone
    return name, (
        f"Network: {name}; {frozen.backbone} has {frozen.mark:.1%} on average, {other.backbone} "
        f"{other.mark:.1%} and about {other.expected:.1%} expected of its whole training."
    )
