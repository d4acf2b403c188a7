"""Several detectors on one trained network, with one pass over the images for all of them."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from knowbound.boundary.boundary import Boundary, Judgement
from knowbound.data.source import Source
from knowbound.detectors import DETECTORS
from knowbound.detectors.detector import Detector
from knowbound.errors import UserError


def detectors_for(*, logits: bool) -> tuple[str, ...]:
    """The names of the detectors that make sense on a network: all where it gives logits
    (cross-entropy), else those without."""
    return tuple(
        name
        for name, kind in DETECTORS.items()
        if logits or not getattr(kind, "needs_logits", False)
    )


def make_detector(name: str, *, logits: bool) -> Detector:
    """The detector of that name in its usual setting.

    logits: whether the network was trained with cross-entropy; then what works on distances reads
    the features before the logits, else the embeddings.  Raises UserError for an unknown name, and
    one that needs logits where there are none.
    """
    if name not in DETECTORS:
        raise UserError(f"the detector {name!r} is unknown; expected one of {', '.join(DETECTORS)}")
    if name not in detectors_for(logits=logits):
        raise UserError(
            f"the detector {name} reads the scores of classes, which a network trained with a "
            f"metric loss does not give; take one of {', '.join(detectors_for(logits=logits))}, "
            "or train with cross-entropy (--objective ce)"
        )
    kind: Any = DETECTORS[name]
    either = "reads" in inspect.signature(kind).parameters
    detector: Detector = kind(reads="features") if either and logits else kind()
    return detector


def with_detectors(
    boundary: Boundary, detectors: Sequence[Detector], learned: Source, held_out: Source
) -> list[Boundary]:
    """A calibrated boundary for each detector, all on the network and the likeness of ``boundary``,
    which does not change.

    learned: in-distribution training images (labels 0..C-1); held_out: others, to set the
    thresholds from. Raises UserError and ValueError as ``Boundary.calibrate`` and the detectors'
    ``fit`` do.
    """
    outputs = [boundary.outputs(images) for images in boundary.batches(learned)]
    features, embeddings = (torch.cat(column) for column in zip(*outputs, strict=True))
    labels = torch.from_numpy(learned.labels).to(embeddings.device)
    boundaries = []
    for detector in detectors:
        other = Boundary(
            boundary.backbone,
            detector,
            boundary.preprocessing,
            boundary.class_names,
            acceptance=boundary.acceptance,
            about=boundary.about,
        ).to(embeddings.device)
        other.likeness = boundary.likeness
        with torch.no_grad():
            other.detector.fit(other.read(features, embeddings), labels)
        boundaries.append(other.calibrate(held_out))
    return boundaries


@torch.no_grad()
def judge_together(boundaries: Sequence[Boundary], source: Source) -> list[Judgement]:
    """What each boundary says of every image of a source; the images go through the shared network
    once.

    A detector that changes the images (ODIN) takes passes of its own.  Raises ValueError for
    boundaries on different networks or without a threshold.
    """
    first = boundaries[0]
    for other in boundaries:
        other.check_calibrated()
        if other.backbone is not first.backbone or other.likeness is not first.likeness:
            raise ValueError(
                "boundaries on different networks were given; expected those of one call of "
                "with_detectors"
            )
    parts: list[list[tuple[Tensor, Tensor, Tensor, Tensor]]] = [[] for _ in boundaries]
    for images in first.batches(source):
        features, embeddings = first.outputs(images)
        likeness = first.likeness.score(images)
        for boundary, mine in zip(boundaries, parts, strict=True):
            own = hasattr(boundary.detector, "prepare")
            mine.append(
                boundary(images) if own else boundary.decide(features, embeddings, likeness)
            )
    return [Judgement.join(mine) for mine in parts]
