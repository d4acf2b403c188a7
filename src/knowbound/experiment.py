"""One cell of a table: train, fit, judge, measure."""

import datetime
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from knowbound import __version__
from knowbound.boundary.boundary import DECISIONS, Boundary
from knowbound.boundary.together import judge_together
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import Source
from knowbound.data.split import OutSet, Split
from knowbound.detectors.detector import Detector
from knowbound.evidence import Evidence, JudgedSet
from knowbound.labels import Kind
from knowbound.metrics import measure
from knowbound.objectives.objective import Objective
from knowbound.result import Result
from knowbound.training.loop import Progress, Trained, describe_hardware, train
from knowbound.training.settings import Training


@dataclass(frozen=True, eq=False)
class Experiment:
    """One method on one split.  A variant is ``replace(...)`` of its sibling: ML is ODM with
    ``split.without_seen_out()``."""

    experiment: str
    """``table3``, ``demo``, ..."""
    scale: str
    method: str
    split: Split
    backbone: Callable[[int], nn.Module]
    """From the length of the embedding to a network with fresh weights."""
    backbone_name: str
    objective: Objective
    detector: Callable[[], Detector]
    training: Training
    variant: str = ""
    acceptance: float = 0.95
    conventions: tuple[str, ...] = ("exact", "seed")
    note: Mapping[str, Any] = field(default_factory=dict)
    """Anything else worth storing with the rows."""
    trainer: Callable[..., Trained] = train
    """What trains the backbone: ``training.train``, or another function with its arguments."""
    tune: Callable[[nn.Module, Split], tuple[Detector, Mapping[str, Any]]] | None = None
    """If given, what makes the detector in place of ``detector``: from the trained backbone, with
    what to add to the note."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """A trained boundary and what it said of the split's test images."""

    boundary: Boundary
    trained: Trained
    evidence: Evidence


def run(
    experiment: Experiment,
    *,
    checkpoint: Path | None = None,
    on_step: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Train on ``split.train`` and ``split.seen_out``, calibrate on ``split.validation``, judge
    ``split.test`` and the unseen outs.

    checkpoint: where an interrupted training of this very experiment continues from.
    """
    commit()  # noted now: see there
    split = experiment.split
    torch.manual_seed(experiment.training.seed)
    backbone = experiment.backbone(experiment.objective.embedding_dim(len(split.train.class_names)))
    outs = [out.source for out in split.seen_out]
    trained = experiment.trainer(
        backbone,
        split.train,
        outs,
        experiment.objective,
        experiment.training,
        checkpoint=checkpoint,
        resume=checkpoint is not None,
        on_step=on_step,
    )
    detector, note = (
        experiment.tune(backbone, split) if experiment.tune else (experiment.detector(), {})
    )
    experiment = replace(experiment, note={**experiment.note, **note})
    channels, height, width = split.train.image_shape
    boundary = Boundary(
        backbone,
        detector,
        Preprocessing(height, width, channels),
        split.train.class_names,
        acceptance=experiment.acceptance,
    )
    boundary.learn(split.train).calibrate(split.validation)
    rows = row_template(experiment, trained, type(boundary.detector).__name__)
    evidence = judge_sets(boundary, split.test, split.unseen_out, rows, experiment.conventions)
    return Outcome(boundary, trained, evidence)


def judge_sets(
    boundary: Boundary,
    in_source: Source,
    out_sets: Sequence[OutSet],
    template: Result,
    conventions: Sequence[str] = ("exact",),
    *,
    paths: Mapping[str, tuple[str, ...]] | None = None,
) -> Evidence:
    """Judge the in-distribution test images and every out set, and measure each out set in every
    convention.

    template: what every row has in common, with the names of the seen out sets, and their kinds in
    ``provenance['seen_kinds']``.  An out set counts as seen if a seen one has its name or, where
    none of the seen sets is named like an out set, if one has its kind.  paths: for each set's name
    the files its images came from.
    """
    return judge_sets_together(
        [boundary], in_source, out_sets, [template], conventions, paths=paths
    )[0]


def judge_sets_together(
    boundaries: Sequence[Boundary],
    in_source: Source,
    out_sets: Sequence[OutSet],
    templates: Sequence[Result],
    conventions: Sequence[str] = ("exact",),
    *,
    paths: Mapping[str, tuple[str, ...]] | None = None,
) -> list[Evidence]:
    """``judge_sets`` for several boundaries on one network, each with its template, in one pass
    over the images."""
    in_judged = _judged_sets(boundaries, in_source, None, paths)
    out_judged = [_judged_sets(boundaries, out.source, out.kind, paths) for out in out_sets]
    return [
        _measure(
            boundary, in_judged[i], tuple(judged[i] for judged in out_judged), template, conventions
        )
        for i, (boundary, template) in enumerate(zip(boundaries, templates, strict=True))
    ]


def _measure(
    boundary: Boundary,
    in_set: JudgedSet,
    out_sets: tuple[JudgedSet, ...],
    template: Result,
    conventions: Sequence[str],
) -> Evidence:
    labelled = in_set.labels >= 0
    accuracy = (
        float(np.mean(in_set.nearest[labelled] == in_set.labels[labelled]))
        if labelled.any()
        else None
    )
    seen = _seen_names(template, out_sets)
    results = []
    for convention in conventions:
        for out in out_sets:
            numbers = measure(in_set.scores, out.scores, convention=convention)
            results.append(
                replace(
                    template,
                    out_dist=out.name,
                    kind=str(out.kind),
                    seen=out.name in seen,
                    convention=convention,
                    n_in=len(in_set.scores),
                    n_out=len(out.scores),
                    in_accuracy=accuracy,
                    fpr95=numbers.fpr95,
                    detection_error=numbers.detection_error,
                    auroc=numbers.auroc,
                    aupr_in=numbers.aupr_in,
                    aupr_out=numbers.aupr_out,
                    provenance={**template.provenance, "tie_share": numbers.tie_share},
                )
            )
    centres = getattr(boundary.detector, "centres", None)
    return Evidence(
        method=template.method,
        class_names=boundary.class_names,
        threshold=float(boundary.threshold),
        acceptance=boundary.acceptance,
        centres=None if centres is None else centres.cpu().numpy(),
        in_set=in_set,
        out_sets=out_sets,
        results=tuple(results),
    )


def _seen_names(template: Result, out_sets: Sequence[JudgedSet]) -> set[str]:
    kinds = template.provenance.get("seen_kinds", [])
    named = {out.name for out in out_sets} & set(template.seen_out) if kinds else set()
    return named or {out.name for out in out_sets if str(out.kind) in kinds}


def row_template(experiment: Experiment, trained: Trained, detector: str) -> Result:
    """The row with everything but the out set's own columns filled in."""
    split = experiment.split
    sources = {
        "train": split.train,
        "validation": split.validation,
        "test": split.test,
        **{f"seen {o.name}": o.source for o in split.seen_out},
        **{o.name: o.source for o in split.unseen_out},
    }
    settings = {
        "objective": experiment.objective.to_dict(),
        "training": asdict(experiment.training),
        "pace": trained.pace.to_dict(),
        "acceptance": experiment.acceptance,
        "sizes": {name: len(source) for name, source in sources.items()},
        **experiment.note,
    }
    seen_kinds = sorted({str(out.kind) for out in split.seen_out})
    return Result(
        experiment=experiment.experiment,
        scale=experiment.scale,
        method=experiment.method,
        variant=experiment.variant,
        backbone=experiment.backbone_name,
        in_dist=split.train.name,
        split=split.name,
        seed=experiment.training.seed,
        seen_out=tuple(o.name for o in split.seen_out),
        out_dist="",
        kind="",
        seen=False,
        detector=detector,
        convention="",
        n_in=0,
        n_out=0,
        in_accuracy=None,
        fpr95=1.0,
        detection_error=0.5,
        auroc=0.0,
        aupr_in=0.0,
        aupr_out=0.0,
        train_seconds=round(trained.seconds, 2),
        train_images=trained.images,
        provenance=provenance(
            settings, {n: s.sha256() for n, s in sources.items()}, trained.hardware
        )
        | {"seen_kinds": seen_kinds},
    )


def provenance(
    settings: Mapping[str, Any], data_sha256: Mapping[str, str], hardware: str | None = None
) -> dict[str, Any]:
    """Where a number comes from: version, commit, settings, data hashes, hardware, torch and the
    date (UTC)."""
    return {
        "version": __version__,
        "commit": commit(),
        "settings": dict(settings),
        "data_sha256": dict(data_sha256),
        "hardware": hardware or describe_hardware(torch.device("cpu")),
        "torch": torch.__version__,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


@cache
def commit() -> str | None:
    """The git commit the code runs from, with ``+`` if files differ from it; None outside a
    checkout.

    Asked once, when the first experiment starts: a long run's later rows come from the code it
    started with.
    """
    folder = Path(__file__).parent

    def git(*words: str) -> str | None:
        try:
            found = subprocess.run(
                ["git", "-C", str(folder), *words],
                capture_output=True,
                text=True,
                check=True,
                timeout=10,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return found.stdout.strip()

    if (
        git("ls-files", "--error-unmatch", "experiment.py") is None
    ):  # installed inside somebody else's repository
        return None
    head = git("rev-parse", "--short=12", "HEAD")
    return (
        f"{head}+"
        if head and git("status", "--porcelain", "--untracked-files=no", "--", str(folder))
        else head
    )


def _judged_sets(
    boundaries: Sequence[Boundary],
    source: Source,
    kind: Kind | None,
    paths: Mapping[str, tuple[str, ...]] | None,
) -> list[JudgedSet]:
    images = _as_uint8(source)
    return [
        JudgedSet(
            name=source.name,
            kind=kind,
            images=images,
            labels=source.labels,
            embeddings=judgement.embeddings,
            scores=judgement.scores,
            nearest=judgement.nearest,
            decisions=np.array([str(d) for d in DECISIONS])[judgement.decisions],
            paths=(paths or {}).get(source.name, ()),
        )
        for judgement in judge_together(boundaries, source)
    ]


def _as_uint8(source: Source) -> NDArray[np.uint8]:
    pixels = source.images(slice(None))
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels * 255).astype(np.uint8)
