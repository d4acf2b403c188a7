"""What came of a fit: the boundary, and what is told of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from knowbound.boundary import Boundary
from knowbound.boundary.domain import Domain
from knowbound.boundary.threshold import ClassAcceptance
from knowbound.building.frozen import Embedded
from knowbound.building.tuned import Tuned
from knowbound.data.source import Source
from knowbound.training import Trained
from knowbound.workflows.detector_choice import describe_choice

NAMED = 8
"""Classes that a sentence names at most."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A calibrated boundary, the training or the embedding behind it, and the images it was held
    against."""

    boundary: Boundary
    trained: Trained | Embedded
    train: Source
    held_out: Source
    accepted: ClassAcceptance
    """How many held-out images of each class are accepted."""
    tuned: Tuned | None = None
    """The fine-tuning of a network with published weights, if there was one."""

    @property
    def summary(self) -> tuple[str, ...]:
        """What came of it, a sentence each."""
        names = self.boundary.class_names
        promise = self.boundary.threshold.sentence(names)
        return (
            *self._how(),
            *self._kinds(),
            f"The promise: {promise}.",
            *self._by_class(names),
        )

    def _how(self) -> tuple[str, ...]:
        made = self.trained
        if isinstance(made, Trained):
            about = self.boundary.about  # of all networks, their bases included
            choice = describe_choice(about["settings"])
            return (
                f"Trained in {about['train_seconds']:.0f} s ({made.pace}).",
                *((choice,) if choice else ()),
            )
        few = (
            (
                "Few pictures: the threshold comes from leaving them out in turn, so that all are "
                "learned from; the promise is a guide then (--held-out 0.1 makes it exact, and wide).",
            )
            if not len(self.held_out)
            else ()
        )
        return (
            f"{self._trained()} Features computed of {made.computed:,} pictures, anomalies made "
            f"for the purpose among them, in {made.seconds:.0f} s; the others were kept.",
            *made.remarks,
            *few,
        )

    def _kinds(self) -> tuple[str, ...]:
        """What could not be done for telling novelty from anomaly, a sentence."""
        domain = self.boundary.domain
        remark = domain.remark if isinstance(domain, Domain) else ""
        return (f"Novelty or anomaly: {remark}.",) if remark else ()

    def _trained(self) -> str:
        """What was done to a network with published weights, a sentence."""
        if self.tuned is None:
            return "Nothing was trained."
        steps, before = self.tuned.tuning.steps, " before" if self.tuned.remembered else ""
        without = [n for n in self.boundary.class_names if n not in self.tuned.mirrored]
        kept = f"; never mirrored, as a mirror changes the class: {', '.join(without[:NAMED])}"
        return (
            f"Fine-tuned{before} in {self.tuned.seconds:.0f} s ({steps} steps"
            f"{kept if without else ''})."
        )

    def _by_class(self, names: Sequence[str]) -> list[str]:
        """The acceptance of each class on the held-out images, and a warning where it is low."""
        share, short = self.accepted.share, self.accepted.short
        order = np.argsort(np.nan_to_num(share, nan=-1.0), kind="stable").tolist()
        worst = [f"{names[c]} {share[c]:.0%} of {self.accepted.groups[c]}" for c in order[:NAMED]]
        more = f" (the lowest of {len(names)} classes)" if len(names) > NAMED else ""
        lines = [f"Held-out images accepted by class: {', '.join(worst)}{more}."]
        few = [names[c] for c in np.flatnonzero(short).tolist()]
        if few:
            lines.append(
                f"Warning: images of {', '.join(few[:NAMED])} are accepted too seldom; give more "
                "images of them, or set a threshold for each class with --per-class."
            )
        return lines
