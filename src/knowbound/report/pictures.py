"""The most surprising images of one model: what it accepted and should not have, and what it
rejected."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from knowbound.evidence import Evidence, JudgedSet
from knowbound.labels import Decision

LONGEST_SIDE = 64


@dataclass(frozen=True, slots=True)
class Picture:
    """One image with what is true of it and what was said of it."""

    source: str
    """A ``data:`` address that holds the image as PNG."""
    truth: str
    nearest: str
    decision: str
    score: float
    path: str
    index: int
    """Position in its set."""


def accepted_outs(evidence: Evidence, at_most: int = 16) -> tuple[Picture, ...]:
    """The out images said to be known, the lowest scores (the surest mistakes) first.

    Args:
        evidence: of one model.
        at_most: how many.
    """
    found = [
        (float(out.judgement.score[i]), out, int(i))
        for out in evidence.out_sets
        for i in np.flatnonzero(_known(out))
    ]
    return _pictures(evidence, sorted(found, key=lambda item: item[0])[:at_most])


def rejected_ins(evidence: Evidence, at_most: int = 16) -> tuple[Picture, ...]:
    """The in-distribution test images said to be novelty or anomaly, the highest scores first.

    Args:
        evidence: of one model.
        at_most: how many.
    """
    inside = evidence.in_set
    found = [
        (float(inside.judgement.score[i]), inside, int(i)) for i in np.flatnonzero(~_known(inside))
    ]
    return _pictures(evidence, sorted(found, key=lambda item: -item[0])[:at_most])


def png_address(image: NDArray[np.uint8]) -> str:
    """An image as a ``data:image/png`` address; larger images are reduced to a thumbnail.

    Args:
        image: (C, H, W), C = 1 or 3.
    """
    pixels = image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def class_name(evidence: Evidence, index: int) -> str:
    """The name of a class, or a dash for an index that is none."""
    return evidence.class_names[index] if 0 <= index < len(evidence.class_names) else "–"


def _known(judged: JudgedSet) -> NDArray[np.bool_]:
    return np.asarray(judged.decisions == str(Decision.KNOWN), dtype=np.bool_)


def _pictures(
    evidence: Evidence, found: Iterable[tuple[float, JudgedSet, int]]
) -> tuple[Picture, ...]:
    return tuple(
        Picture(
            source=png_address(judged.images[i]),
            truth=f"{judged.name} ({judged.kind})"
            if judged.kind
            else class_name(evidence, int(judged.labels[i])),
            nearest=class_name(evidence, int(judged.judgement.nearest[i])),
            decision=str(judged.decisions[i]),
            score=score,
            path=judged.paths[i] if judged.paths else "",
            index=i,
        )
        for score, judged, i in found
    )
