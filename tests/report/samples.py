"""Made-up evidence: random embeddings and images, decided by their scores."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knowbound.evidence import Evidence, JudgedSet
from knowbound.judgement import Judgement
from knowbound.labels import Kind
from knowbound.outputs import Field
from knowbound.result import Numbers, Published, Result, Run

EVIL = "</script><b>x</b> & 'y' \" %{x}"


RUN = Run(
    experiment="table3",
    scale="cpu",
    method="ML",
    variant="",
    backbone="LeNet",
    in_dist="MNIST 2, 6, 7",
    split="s",
    seed=0,
    seen_out=(),
    detector="NearestCentre",
    train_seconds=1.0,
    train_images=10,
    provenance={"commit": "abc"},
)
NUMBERS = Numbers(fpr95=0.2, detection_error=0.125, auroc=0.95, aupr_in=0.94, aupr_out=0.93)
RESULT = Result(
    run=RUN,
    out_dist="Novelty",
    kind="novelty",
    seen=False,
    convention="exact",
    n_in=3000,
    n_out=1000,
    in_accuracy=0.99,
    numbers=NUMBERS,
)


def result(**changes: Any) -> Result:
    """A row with some fields of its run, of its numbers or of its own changed."""
    run = {name: changes.pop(name) for name in list(changes) if name in Run.__slots__}
    numbers = {name: changes.pop(name) for name in list(changes) if name in Numbers.__slots__}
    return replace(RESULT, run=replace(RUN, **run), numbers=replace(NUMBERS, **numbers), **changes)


def printed(**changes: Any) -> Published:
    values: dict[str, Any] = {
        "table": "table3",
        "in_dist": "MNIST 2, 6, 7",
        "method": "ML",
        "variant": "",
        "out_dist": "Novelty",
        "kind": "novelty",
        "seen": False,
        "convention": "seed",
        "in_accuracy": 0.9954,
        "fpr95": 0.2105,
        "detection_error": 0.1303,
        "auroc": 0.9448,
        "aupr_in": 0.9402,
        "aupr_out": None,
    }
    return Published(**{**values, **changes})


def judged(
    name: str,
    kind: Kind | None,
    count: int,
    *,
    dim: int = 5,
    shift: float = 0.0,
    classes: int = 3,
    paths: bool = False,
    side: int = 8,
    channels: int = 1,
    seed: int = 0,
) -> JudgedSet:
    """Scores are around 1 + shift; the threshold of ``evidence`` is 1.5, and beyond 3 an image is
    an anomaly."""
    rng = np.random.default_rng(seed)
    scores = np.abs(rng.normal(1 + shift, 0.6, count))
    labels = rng.integers(0, classes, count) if kind is None else np.full(count, -1, dtype=np.int64)
    nearest = rng.integers(0, classes, count)
    if kind is None:
        nearest = np.where(rng.random(count) < 0.9, labels, nearest)
    return JudgedSet(
        name,
        kind,
        rng.integers(0, 256, (count, channels, side, side), dtype=np.uint8),
        labels,
        Judgement(
            embedding=rng.normal(shift, 1.0, (count, dim)).astype(np.float32),
            score=scores,
            p_value=np.minimum(1, 0.0500001 * np.exp(2 * (1.5 - scores))),
            domain_score=scores - 3,
            nearest=nearest,
            decision=decide(scores),
        ),
        tuple(f"/data/<{name}>/{i}.png" for i in range(count)) if paths else (),
    )


def rejudged(judged_set: JudgedSet, **changes: Any) -> JudgedSet:
    """The set with some fields of its judgement changed."""
    return replace(judged_set, judgement=judged_set.judgement._replace(**changes))


def decide(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.where(scores <= 1.5, 0, np.where(scores <= 3, 1, 2))


def evidence(
    *outs: JudgedSet,
    method: str = "ML",
    inside: JudgedSet | None = None,
    names: tuple[str, ...] = (),
    shows: Field = "embedding",
) -> Evidence:
    inside = judged("digits", None, 120, seed=9) if inside is None else inside
    names = names or ("two", "six", "seven")
    centres = np.zeros((len(names), inside.judgement.embedding.shape[1]), np.float32)
    rows = tuple(
        result(method=method, in_dist=inside.name, out_dist=out.name, kind=str(out.kind))
        for out in outs
    )
    return Evidence(
        method=method,
        class_names=names,
        threshold=1.5,
        acceptance=0.95,
        domain_threshold=0.0,
        centres=centres,
        promise={"range": [0.9, 0.98], "images": 120, "groups": 120, "level": 0.05},
        in_set=inside,
        out_sets=outs,
        shows=shows,
        results=rows,
    )


def two_outs(**options: Any) -> tuple[JudgedSet, JudgedSet]:
    novelty = judged("others", Kind.NOVELTY, 70, shift=0.8, seed=1, **options)
    return novelty, judged("noise", Kind.ANOMALY, 90, shift=4, seed=2, **options)
