"""What is put on a frozen network, measured: poolings of its features, and detectors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from knowbound.building import OnStep
from knowbound.building.frozen import Embedded, FrozenNetwork
from knowbound.data.groups import group_images
from knowbound.data.pictures.folder import FolderRead
from knowbound.detectors.choice import make_detector
from knowbound.workflows.audition.survey import Survey, survey
from knowbound.workflows.audition.trial import READ, Head, Trial, frozen_trial

DETECTORS = ("relative_centre", "nearest_centre", "k_nearest")
"""Tried on every pooling, the one that did best on photographs first: docs/photographs.md."""


@dataclass(frozen=True, eq=False)
class Surveyed:
    """A head on a frozen network, and how it did.

    frozen: the network, with the head's pooling; head: that was put on it; images: that it was
    judged on; embedded: what the network said of them; survey: what came of it; trial: the same, to
    be shown.
    """

    frozen: FrozenNetwork
    head: Head
    images: FolderRead
    embedded: Embedded
    survey: Survey
    trial: Trial


def survey_heads(
    frozen: FrozenNetwork,
    images: FolderRead,
    group_by: str,
    seed: int,
    on_step: OnStep | None = None,
) -> list[Surveyed]:
    """How every head does on a frozen network, which embeds each picture once; none where a class
    has too few pictures.

    Args:
        frozen: the network.
        images: as it takes them.
        group_by: as in ``group_images``.
        seed: of the draw of held-out images.
        on_step: called as images are embedded.
    """
    pictures = [bytes.fromhex(digest) for digest in images.pixel_sha256]
    groups = group_images(images.source, list(images.paths), group_by).ids
    first = frozen.embed(images.source, pictures, on_step)
    found: list[Surveyed] = []
    for pooling in poolings_of(frozen):
        network = frozen if pooling is None else frozen.pooled_by(pooling)
        kept = network.embed(images.source, pictures)
        embedded = replace(kept, computed=first.computed, seconds=first.seconds)
        features = embedded.outputs.get("features")
        for name in DETECTORS:
            make = partial(make_detector, name, READ)
            came = survey(features, images.source.labels, groups, make, seed)
            if came is None:
                return []
            head = Head(pooling, name)
            rates = came.accuracy, came.novelty_auroc
            trial = frozen_trial(network, head, *rates, first.seconds, not first.computed)
            found.append(Surveyed(network, head, images, embedded, came, trial))
    return found


def poolings_of(frozen: FrozenNetwork) -> tuple[str | None, ...]:
    """The poolings to try, the one that did best on photographs first; None: the only one.

    Args:
        frozen: the network.
    """
    return tuple(reversed(frozen.network.poolings)) or (None,)


def best_of(surveyed: Sequence[Surveyed]) -> Surveyed:
    """The one with the best mark; the first of equals.

    Args:
        surveyed: at least one.
    """
    return max(surveyed, key=lambda one: one.trial.mark)


def shown(surveyed: Sequence[Surveyed]) -> list[Trial]:
    """The trials to tell of: the best pooling of every detector and network.

    Args:
        surveyed: in the order they were tried.
    """
    kinds = dict.fromkeys((one.frozen.name, one.head.detector) for one in surveyed)
    return [
        best_of([one for one in surveyed if (one.frozen.name, one.head.detector) == kind]).trial
        for kind in kinds
    ]
