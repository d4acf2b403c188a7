"""Several detectors on one trained network, with one pass over the images for all of them."""

import contextlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from knowbound.boundary.batches import join
from knowbound.boundary.boundary import Boundary
from knowbound.boundary.selective_risk import ErrorNotKept
from knowbound.boundary.threshold import Threshold
from knowbound.data.source import Source
from knowbound.detectors.detector import Detector, fields_of
from knowbound.judgement import Judgement
from knowbound.values import Array


@torch.no_grad()
def with_detectors(
    boundary: Boundary,
    detectors: Sequence[Detector],
    learned: Source,
    held_out: Source,
    groups: NDArray[np.int64] | None = None,
) -> list[Boundary]:
    """A boundary for each detector, on the network, domain score and promise of ``boundary``.

    ``boundary`` itself does not change.  A detector that cannot keep its largest error promises the
    acceptance alone.

    Args:
        boundary: a trained one.
        detectors: fresh ones that read what the network gives.
        learned: in-distribution training images, labels 0..C-1.
        held_out: others, to set the thresholds from.
        groups: (N,) of the held-out images that belong together; None: each is on its own.

    Raises:
        UserError, ValueError: as ``Boundary.calibrate`` and the detectors' ``learn`` raise them.
    """
    stages = "stages" in fields_of(detectors)
    parts: list[list[Tensor]] = [[] for _ in detectors]
    for images in boundary.batches(learned):
        outputs = boundary.outputs(images, stages=stages)
        for mine, detector in zip(parts, detectors, strict=True):
            mine.append(detector.read(outputs))
    boundaries = []
    for detector, mine in zip(detectors, parts, strict=True):
        vectors = torch.cat(mine)
        other = Boundary(
            boundary.backbone,
            detector,
            boundary.preprocessing,
            boundary.class_names,
            acceptance=boundary.acceptance,
            judging=boundary.judging,
            about=boundary.about,
        ).to(vectors.device)
        other.domain = boundary.domain
        labels = torch.from_numpy(learned.labels).to(vectors.device)
        detector.learn(vectors, labels, boundary.class_names)
        boundaries.append(_promising(other, boundary.threshold, held_out, groups))
    return boundaries


def _promising(
    boundary: Boundary, promise: Threshold, held_out: Source, groups: NDArray[np.int64] | None
) -> Boundary:
    """The boundary, calibrated with the promise of another; without the largest error where its
    detector cannot keep it."""
    for max_error in (promise.max_error, None):
        with contextlib.suppress(ErrorNotKept):
            return boundary.calibrate(
                held_out,
                groups,
                by=promise.by,
                confidence=promise.stated_confidence,
                max_error=max_error,
            )
    raise AssertionError("without a largest error there is none to keep")


@torch.no_grad()
def judge_together(boundaries: Sequence[Boundary], source: Source) -> list[Judgement[Array]]:
    """What each boundary says of every image of a source; the images go through the shared network
    once.

    A detector that moves the images (ODIN) takes passes of its own.

    Args:
        boundaries: on the same network, calibrated.
        source: N images of their shape.

    Returns:
        A judgement for each boundary.

    Raises:
        ValueError: boundaries on different networks, or without a threshold.
    """
    first = boundaries[0]
    for other in boundaries:
        other.check_calibrated()
        if other.backbone is not first.backbone or other.domain is not first.domain:
            raise ValueError(
                "boundaries on different networks were given; expected those of one call of "
                "with_detectors"
            )
    parts: list[list[Judgement[Tensor]]] = [[] for _ in boundaries]
    for images in first.batches(source):
        outputs = first.outputs(images)
        for boundary, mine in zip(boundaries, parts, strict=True):
            own_pass = boundary.detector.moves_images
            mine.append(boundary(images) if own_pass else boundary.decide(outputs, images))
    return [join(mine) for mine in parts]
