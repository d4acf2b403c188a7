"""Evaluation of a saved boundary on folders: known classes, novelties and anomalies -> rows and a
report."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from knowbound.boundary.boundary import Boundary
from knowbound.boundary.threshold import least_groups
from knowbound.boundary.together import with_detectors
from knowbound.data.group_hold_out import hold_out_groups
from knowbound.data.groups import group_images
from knowbound.data.pictures.folder import FolderRead, Problem, read_folder
from knowbound.data.source import Source
from knowbound.data.split import OutSet
from knowbound.detectors.choice import detectors_for, make_detector
from knowbound.detectors.detector import Detector
from knowbound.errors import UserError
from knowbound.evidence import Evidence
from knowbound.files import check_writable, replace_file
from knowbound.judging import judge_sets, seen_names, single_threshold
from knowbound.labels import Kind
from knowbound.metrics import CONVENTIONS
from knowbound.outputs import Field, Head
from knowbound.provenance import provenance
from knowbound.report import write_page
from knowbound.result import Run
from knowbound.training import describe_hardware


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What the boundary said of all folders, and every file that could not be used.

    evidence: of the boundary as it is saved; others: of the further detectors that were asked for,
    on the same network.
    """

    evidence: Evidence
    others: tuple[Evidence, ...]
    problems: tuple[Problem, ...]


def evaluate(
    boundary: Boundary,
    known: Path,
    *,
    novelty: Mapping[str, Path] | None = None,
    anomaly: Mapping[str, Path] | None = None,
    detectors: Sequence[str] = (),
    fit_on: Path | None = None,
    output: Path | None = None,
    memory_limit: int = 2 * 1024**3,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Measure the boundary on ``known/class/...`` against named folders of novelties and anomalies.

    detectors: names of further detectors to compare on the same network and the same pass over the
    images, or ``all`` that the network can have (those that read class scores need one trained with
    cross-entropy); fit_on: the folder of training images they are fitted on (and calibrated: the
    same images are held out as in ``fit``). With ``output`` it writes ``rows.jsonl`` (every metric
    in every convention) and ``report.html`` there.  Raises UserError for folders that cannot be
    used, a class the boundary does not know, no out folder at all, and a detector that the network
    cannot have.
    """
    outputs = outputs_of(boundary)
    known, fit_on, output = (
        Path(known),
        Path(fit_on) if fit_on else None,
        Path(output) if output else None,
    )
    detectors = [detectors] if isinstance(detectors, str) else detectors
    if fit_on is not None and not detectors:
        raise UserError(
            "images to fit detectors on were given, but no detector; name one with --detector, or "
            "leave --fit-on out"
        )
    if detectors and fit_on is None:
        raise UserError(
            "detectors were named without the images to fit them on; give the folder the model "
            "was trained on with --fit-on"
        )
    names = detectors_for(outputs) if "all" in detectors else tuple(dict.fromkeys(detectors))
    made = [make_detector(name, outputs) for name in names]
    if output:
        check_writable(output)
    folders = [(name, Path(path), Kind.NOVELTY) for name, path in (novelty or {}).items()]
    folders += [(name, Path(path), Kind.ANOMALY) for name, path in (anomaly or {}).items()]
    if not folders:
        raise UserError(
            "no folder of novelties or anomalies was given; name at least one with --novelty "
            "NAME=DIR or --anomaly NAME=DIR"
        )
    if len({name for name, *_ in folders}) < len(folders):
        raise UserError(
            f"the out folders are named {[n for n, *_ in folders]}; expected a name of its own "
            "for each"
        )

    for name, *_ in folders:
        if name in (known.name, "known", "fitted on"):
            raise UserError(
                f"an out folder is named {name!r}, which stands for known images here; give it "
                "another name, NAME=DIR"
            )

    def read(path: Path, classes: bool) -> FolderRead:
        return read_folder(
            path,
            boundary.preprocessing,
            classes=classes,
            memory_limit=memory_limit,
            progress=progress,
        )

    inside = read(known, True)
    in_source = match_classes(inside.source, boundary, known)
    reads = [read(path, False) for _, path, _ in folders]
    outs = [
        OutSet(r.source.without_labels(name), kind)
        for r, (name, _, kind) in zip(reads, folders, strict=True)
    ]
    paths = {
        in_source.name: inside.paths,
        **{o.name: r.paths for o, r in zip(outs, reads, strict=True)},
    }
    hashes = {
        "known": inside.sha256,
        **{o.name: r.sha256 for o, r in zip(outs, reads, strict=True)},
    }
    learned_from: dict[str, str] = boundary.about.get("data_sha256", {})
    shown = {digest for name, digest in learned_from.items() if name != "known"}
    seen = [o for o, r in zip(outs, reads, strict=True) if r.sha256 in shown]
    problems = [*inside.problems, *(problem for r in reads for problem in r.problems)]
    if inside.sha256 == learned_from.get("known"):
        problems.append(
            Problem(
                known,
                "the model was trained on these images; the numbers say nothing of new ones",
                used=True,
            )
        )
    boundaries, runs = [boundary], [_run(boundary, in_source.name, hashes, seen)]
    if fit_on and made:
        training = read(fit_on, True)
        problems += training.problems
        if training.sha256 != learned_from.get("known", training.sha256):
            problems.append(
                Problem(
                    fit_on,
                    "not the images the model was trained on: other ones are held out here",
                    used=True,
                )
            )
        others = _fitted(
            boundary,
            made,
            match_classes(training.source, boundary, fit_on),
            [str(path) for path in training.paths],
        )
        hashes = {**hashes, "fitted on": training.sha256}
        runs += [
            replace(_run(other, in_source.name, hashes, seen), variant=name)
            for other, name in zip(others, names, strict=True)
        ]
        boundaries += others
    evidence, *more = judge_sets(
        boundaries,
        runs,
        in_source,
        outs,
        seen=seen_names(seen, outs),
        conventions=tuple(CONVENTIONS),
        paths=paths,
    )
    if output:
        text = "".join(row.to_json() + "\n" for one in (evidence, *more) for row in one.results)
        replace_file(output / "rows.jsonl", text.encode())
        write_page(output / "report.html", f"Evaluation on {known.name}", [evidence, *more])
    return Evaluation(evidence, tuple(more), tuple(problems))


def outputs_of(boundary: Boundary) -> tuple[Field, ...]:
    """What the boundary's network gives."""
    heads = [field for field in get_args(Head) if field in boundary.backbone.heads]
    return ("stages", "features", *heads)


def _fitted(
    boundary: Boundary, detectors: Sequence[Detector], source: Source, paths: Sequence[str]
) -> list[Boundary]:
    """Boundaries on the same network, fitted and calibrated on the images that ``fit`` learned from
    and held out."""
    settings = boundary.about.get("settings", {})
    rng = np.random.default_rng(int(settings.get("training", {}).get("seed", 0)))
    groups = group_images(source, paths, settings.get("group_by", "none")).ids
    held = hold_out_groups(
        source.labels,
        groups,
        float(settings.get("held_out", 0.1)),
        rng,
        least_groups(boundary.acceptance),
        class_names=source.class_names,
    )
    learned = source.take(np.setdiff1d(np.arange(len(source)), held))
    return with_detectors(boundary, detectors, learned, source.take(held), groups[held])


def match_classes(source: Source, boundary: Boundary, folder: Path) -> Source:
    """The source with the boundary's class indices.  Raises UserError for a class the boundary does
    not know."""
    unknown = [name for name in source.class_names if name not in boundary.class_names]
    if unknown:
        raise UserError(
            f"{folder} has the classes {unknown}, which the model does not know (it knows "
            f"{list(boundary.class_names)}); move them to a folder of their own and give it with "
            "--novelty"
        )
    new_label = np.array(
        [boundary.class_names.index(name) for name in source.class_names], dtype=np.int64
    )
    return Source(source.name, source.pixels, new_label[source.labels], boundary.class_names)


def _run(
    boundary: Boundary, in_dist: str, hashes: Mapping[str, str], seen: Sequence[OutSet]
) -> Run:
    """What the rows of this evaluation have in common; seen: the sets whose very images were shown
    in training."""
    about = boundary.about
    objective = str(about.get("objective", ""))
    settings = about.get("settings", {})
    shown = [name for name in about.get("data_sha256", {}) if name.startswith("outliers")]
    evaluated = {
        "model": about,
        "acceptance": boundary.acceptance,
        "threshold": _finite(single_threshold(boundary)),
    }
    return Run(
        experiment="evaluate",
        scale="",
        method=objective.upper() or "model",
        variant="",
        backbone=type(boundary.backbone).__name__,
        in_dist=in_dist,
        split="folders",
        seed=int(settings.get("training", {}).get("seed", 0)),
        seen_out=tuple(out.name for out in seen) or (("outliers",) if shown else ()),
        detector=type(boundary.detector).__name__,
        train_seconds=float(about.get("train_seconds", 0.0)),
        train_images=int(about.get("train_images", 0)),
        provenance=provenance(evaluated, hashes, describe_hardware(torch.device("cpu"))),
    )


def _finite(value: float) -> float | None:
    """The number, or None where JSON has no word for it."""
    return value if math.isfinite(value) else None
