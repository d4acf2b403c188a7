"""The most surprising images of one model, in groups: what it accepted and should not have, what it
rejected, what it took for another class, and what it found newest."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from knowbound.evidence import Evidence, JudgedSet
from knowbound.labels import Decision

LONGEST_SIDE = 64
SMALL = 2500
"""Bytes of a PNG that is kept as it is."""


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


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures of which the same is true and of which the same was said."""

    title: str
    total: int
    pictures: tuple[Picture, ...]
    """The most telling of them."""
    paths: tuple[str, ...]
    """Files of the group, the most telling first; none where the images came from no files."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How much of the groups is shown."""

    groups: int = 6
    pictures: int = 8
    paths: int = 200


def accepted_outs(evidence: Evidence, shown: Shown = Shown()) -> tuple[Group, ...]:
    """The unknown images said to be known, by set and by the class they passed for; the lowest scores
    (the surest mistakes) first.

    Args:
        evidence: of one model.
        shown: how much of them.

    Returns:
        The largest groups first.
    """
    return _groups(evidence, _by_nearest(evidence, "taken for", 0), shown)


def rejected_ins(evidence: Evidence, shown: Shown = Shown()) -> tuple[Group, ...]:
    """The in-distribution test images said to be novelty or anomaly, by class, the highest scores
    first.

    Args:
        evidence: of one model.
        shown: how much of them.

    Returns:
        The largest groups first.
    """
    inside = evidence.in_set
    found = {
        (f"{class_name(evidence, c)} rejected", inside): np.flatnonzero(
            ~_known(inside) & (inside.labels == c)
        )
        for c in range(-1, len(evidence.class_names))
    }
    return _groups(evidence, found, shown, highest=True)


def confused_ins(evidence: Evidence, shown: Shown = Shown()) -> tuple[Group, ...]:
    """The in-distribution test images that were accepted as another class than their own, by both
    classes, the lowest scores first.

    Args:
        evidence: of one model.
        shown: how much of them.

    Returns:
        The largest groups first.
    """
    inside, names = evidence.in_set, evidence.class_names
    wrong = _known(inside) & (inside.labels >= 0) & (inside.labels != inside.judgement.nearest)
    pairs = inside.labels * len(names) + inside.judgement.nearest
    found = {
        (f"{names[pair // len(names)]} taken for {names[pair % len(names)]}", inside): (
            np.flatnonzero(wrong & (pairs == pair))
        )
        for pair in np.unique(pairs[wrong]).tolist()
    }
    return _groups(evidence, found, shown)


def most_novel(evidence: Evidence, shown: Shown = Shown()) -> tuple[Group, ...]:
    """The unknown images said to be novelty, by set and nearest class, the highest scores first.

    Args:
        evidence: of one model.
        shown: how much of them.

    Returns:
        The largest groups first.
    """
    return _groups(evidence, _by_nearest(evidence, "near", 1), shown, highest=True)


def picture_address(image: NDArray[np.uint8]) -> str:
    """An image as a ``data:`` address, PNG where that is small and JPEG otherwise; larger images
    are reduced to a thumbnail.

    Args:
        image: (C, H, W), C = 1 or 3.
    """
    pixels = image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    exact = _encoded(picture, format="PNG", optimize=True)
    if len(exact) <= SMALL:
        return f"data:image/png;base64,{base64.b64encode(exact).decode('ascii')}"
    close = _encoded(picture, format="JPEG", quality=85, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(close).decode('ascii')}"


def _encoded(picture: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, **options)
    return buffer.getvalue()


def class_name(evidence: Evidence, index: int) -> str:
    """The name of a class, or a dash for an index that is none."""
    return evidence.class_names[index] if 0 <= index < len(evidence.class_names) else "–"


def _known(judged: JudgedSet) -> NDArray[np.bool_]:
    return np.asarray(judged.decisions == str(Decision.KNOWN), dtype=np.bool_)


def _by_nearest(
    evidence: Evidence, words: str, decision: int
) -> Mapping[tuple[str, JudgedSet], NDArray[np.int64]]:
    """The out-of-distribution images of one decision, by set and by the class they are nearest to."""
    return {
        (f"{out.name} {words} {name}", out): np.flatnonzero(
            (out.judgement.decision == decision) & (out.judgement.nearest == c)
        )
        for out in evidence.out_sets
        for c, name in enumerate(evidence.class_names)
    }


def _groups(
    evidence: Evidence,
    found: Mapping[tuple[str, JudgedSet], NDArray[np.int64]],
    shown: Shown,
    *,
    highest: bool = False,
) -> tuple[Group, ...]:
    groups = []
    largest = sorted(found.items(), key=lambda item: -len(item[1]))[: shown.groups]
    for (title, judged), members in largest:
        if not len(members):
            continue
        scores = judged.judgement.score[members]
        order = members[np.argsort(-scores if highest else scores, kind="stable")].tolist()
        pictures = tuple(_picture(evidence, judged, i) for i in order[: shown.pictures])
        paths = tuple(judged.paths[i] for i in order[: shown.paths]) if judged.paths else ()
        groups.append(Group(title, len(members), pictures, paths))
    return tuple(groups)


def _picture(evidence: Evidence, judged: JudgedSet, i: int) -> Picture:
    return Picture(
        source=picture_address(judged.images_at(np.array([i]))[0]),
        truth=f"{judged.name} ({judged.kind})"
        if judged.kind
        else class_name(evidence, int(judged.labels[i])),
        nearest=class_name(evidence, int(judged.judgement.nearest[i])),
        decision=str(judged.decisions[i]),
        score=float(judged.judgement.score[i]),
        path=judged.paths[i] if judged.paths else "",
        index=i,
    )
