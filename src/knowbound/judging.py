"""Boundaries and sets of images -> evidence and rows."""

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from knowbound.boundary import Boundary
from knowbound.boundary.together import judge_together
from knowbound.data.source import Source
from knowbound.data.split import OutSet
from knowbound.evidence import Evidence, JudgedSet
from knowbound.judgement import DECISIONS
from knowbound.labels import Kind
from knowbound.metrics import auroc, measure
from knowbound.outputs import Field
from knowbound.result import METRICS, Numbers, Result, Run
from knowbound.values import Array

Paths = Mapping[str, tuple[str, ...]]
"""For each set's name the files its images came from."""


def judge_sets(
    boundaries: Sequence[Boundary],
    runs: Sequence[Run],
    in_source: Source,
    out_sets: Sequence[OutSet],
    *,
    seen: Collection[str] = (),
    conventions: Sequence[str] = ("exact",),
    paths: Paths | None = None,
) -> list[Evidence]:
    """The evidence of each boundary, in one pass over the images.

    Args:
        boundaries: on one network, calibrated.
        runs: what each of them is, in the same order.
        in_source: in-distribution test images.
        out_sets: out-of-distribution test images, each declared novelty or anomaly.
        seen: names of the sets whose kind was shown in training.
        conventions: names of ``knowbound.metrics.CONVENTIONS``; each gives a row for each set.
        paths: for each set's name the files its images came from.
    """
    inside = _judged_sets(boundaries, in_source, None, paths)
    outside = [_judged_sets(boundaries, out.source, out.kind, paths) for out in out_sets]
    evidence = []
    for i, (boundary, run) in enumerate(zip(boundaries, runs, strict=True)):
        outs = tuple(judged[i] for judged in outside)
        shows = boundary.backbone.shows
        rows = measure_sets(run, inside[i], outs, seen=seen, conventions=conventions)
        evidence.append(
            Evidence(
                method=run.method,
                class_names=boundary.class_names,
                threshold=single_threshold(boundary),
                acceptance=boundary.acceptance,
                domain_threshold=boundary.domain_threshold,
                centres=_centres(boundary, shows),
                promise=boundary.threshold.describe(),
                shows=shows,
                in_set=inside[i],
                out_sets=outs,
                results=tuple(rows),
            )
        )
    return evidence


def measure_sets(
    run: Run,
    in_set: JudgedSet,
    out_sets: Sequence[JudgedSet],
    *,
    seen: Collection[str] = (),
    conventions: Sequence[str] = ("exact",),
) -> list[Result]:
    """A row for each out-of-distribution set, in every convention.

    Args:
        run: what was run.
        in_set: the in-distribution test images as the model judged them.
        out_sets: the others.
        seen: names of the sets whose kind was shown in training.
        conventions: names of ``knowbound.metrics.CONVENTIONS``.
    """
    accuracy = accuracy_of(in_set)
    rows = []
    for convention in conventions:
        for out in out_sets:
            scores = in_set.judgement.score, out.judgement.score
            metrics = measure(*scores, convention=convention)
            rows.append(
                Result(
                    run=run,
                    out_dist=out.name,
                    kind=str(out.kind),
                    seen=out.name in seen,
                    convention=convention,
                    n_in=len(in_set),
                    n_out=len(out),
                    in_accuracy=accuracy,
                    numbers=Numbers(**{name: getattr(metrics, name) for name in METRICS}),
                    tie_share=metrics.tie_share,
                    decisions=_counted(out),
                    kind_auroc=_kind_auroc(out, out_sets),
                )
            )
    return rows


def single_threshold(boundary: Boundary) -> float:
    """The threshold of all classes.

    Args:
        boundary: a calibrated one.

    Returns:
        NaN where classes have thresholds of their own.
    """
    thresholds = boundary.threshold.thresholds
    return float(thresholds) if len(thresholds) == 1 else math.nan


def accuracy_of(judged: JudgedSet) -> float | None:
    """Share of labelled images given their class, nothing rejected.

    Args:
        judged: one set of images.

    Returns:
        A fraction; None where no image is labelled.
    """
    labelled = judged.labels >= 0
    right = judged.judgement.nearest[labelled] == judged.labels[labelled]
    return float(np.mean(right)) if labelled.any() else None


def seen_names(seen_out: Sequence[OutSet], out_sets: Sequence[OutSet]) -> set[str]:
    """The sets whose kind was shown in training.

    A seen set has its name or, where none is named like an out-of-distribution set, its kind.

    Args:
        seen_out: what was shown.
        out_sets: what is judged.

    Returns:
        Names of ``out_sets``.
    """
    shown = {out.name for out in seen_out}
    named = {out.name for out in out_sets if out.name in shown}
    kinds = {out.kind for out in seen_out}
    return named or {out.name for out in out_sets if out.kind in kinds}


def judged_set(boundary: Boundary, source: Source, kind: Kind | None) -> JudgedSet:
    """One set of images as one boundary judges it.

    Args:
        boundary: a calibrated one.
        source: the images.
        kind: None for in-distribution images.
    """
    return _judged_sets([boundary], source, kind, None)[0]


def _judged_sets(
    boundaries: Sequence[Boundary], source: Source, kind: Kind | None, paths: Paths | None
) -> list[JudgedSet]:
    files = (paths or {}).get(source.name, ())
    return [
        JudgedSet(source.name, kind, source.pixels, source.labels, judgement, files)
        for judgement in judge_together(boundaries, source)
    ]


def _counted(judged: JudgedSet) -> dict[str, int]:
    counts = np.bincount(judged.judgement.decision, minlength=len(DECISIONS))
    return {str(decision): int(count) for decision, count in zip(DECISIONS, counts, strict=True)}


def _kind_auroc(out: JudgedSet, out_sets: Sequence[JudgedSet]) -> float | None:
    """Of an anomaly set: AUROC of the domain score, all novelties against it."""
    novelties = [o.judgement.domain_score for o in out_sets if o.kind is Kind.NOVELTY]
    if out.kind is not Kind.ANOMALY or not novelties:
        return None
    return float(auroc(np.concatenate(novelties), out.judgement.domain_score))


def _centres(boundary: Boundary, shows: Field) -> Array | None:
    """The class centres, where they lie in the space that is shown."""
    centres = boundary.detector.centres_in(shows)
    return None if centres is None else centres.cpu().numpy()
