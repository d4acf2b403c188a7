"""Evaluation of a saved boundary on folders: known classes, novelties and anomalies -> rows and a
report."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from knowbound.boundary.boundary import Boundary
from knowbound.boundary.conformal import least_groups
from knowbound.boundary.together import with_detectors
from knowbound.data.groups import group_images
from knowbound.data.pictures.copies import find_copies, find_seen
from knowbound.data.pictures.folder import FolderRead, read_folder
from knowbound.data.pictures.names import name_unknown, printable, same_name
from knowbound.data.pictures.problems import Problem
from knowbound.data.source import Source
from knowbound.data.split import OutSet
from knowbound.detectors.choice import detectors_for, make_detector
from knowbound.detectors.detector import Detector
from knowbound.errors import UserError
from knowbound.evidence import Evidence
from knowbound.files import check_writable, replace_file
from knowbound.files.own_output import check_overwrite
from knowbound.judging import judge_sets, seen_names, single_threshold
from knowbound.labels import Kind
from knowbound.metrics import CONVENTIONS
from knowbound.outputs import Field, Head
from knowbound.provenance import provenance
from knowbound.report import write_page
from knowbound.report.what_if import check_costs
from knowbound.result import Run
from knowbound.training import describe_hardware
from knowbound.values import JsonMapping
from knowbound.workflows.hold_out import HoldOut

ROWS, REPORT = "rows.jsonl", "report.html"
NAMED = 8
"""Classes that a sentence names at most."""


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
    costs: Mapping[str, float] | None = None,
    model: Path | None = None,
    overwrite: bool = False,
    memory_limit: int = 2 * 1024**3,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Measure the boundary on ``known/class/...`` against named folders of novelties and anomalies.

    Args:
        boundary: a calibrated one.
        known: test images of the known classes.
        novelty: folders of images of classes like the known ones, by name.
        anomaly: folders of images of nothing like them, by name.
        detectors: names of further detectors to compare on the same network and the same pass over
            the images, or ``all`` that the network can have.
        fit_on: the folder of training images they are fitted on; the same images are held out as
            in ``fit``.
        output: folder for ``rows.jsonl`` (every metric in every convention) and ``report.html``.
        costs: of mistakes, by what an image is and what is said of it, such as
            ``{"novelty-as-known": 10}``; the report shows what each acceptance would cost.
        model: the folder the boundary came from, for the commands in the report.
        overwrite: whether files there that this program did not make may be replaced.
        memory_limit: bytes of decoded images over which they are streamed.
        progress: called with (files done, files).

    Raises:
        UserError: folders that cannot be used, a class the boundary does not know, or a detector
            that the network cannot have.
    """
    known, fit_on, output = (
        Path(known),
        Path(fit_on) if fit_on else None,
        Path(output) if output else None,
    )
    check_costs(costs or {})
    made = _detectors(boundary, detectors, fit_on)
    folders = [(name, Path(path), Kind.NOVELTY) for name, path in (novelty or {}).items()]
    folders += [(name, Path(path), Kind.ANOMALY) for name, path in (anomaly or {}).items()]
    _check_names(known, folders)
    if output:
        check_writable(output)
        for name in (ROWS, REPORT):
            check_overwrite(output / name, overwrite)
    read = partial(
        read_folder,
        preprocessing=boundary.preprocessing,
        memory_limit=memory_limit,
        progress=progress,
    )
    inside = read(known, classes=True)
    in_source = match_classes(inside.source, boundary, known)
    reads = {name: read(path, classes=False) for name, path, _ in folders}
    outs = [OutSet(reads[name].source.without_labels(name), kind) for name, _, kind in folders]
    seen, leaks = find_leaks(boundary, {in_source.name: inside, **reads}, in_source.name)
    shown = [out for out in outs if out.name in seen]
    problems = [*inside.problems, *(p for r in reads.values() for p in r.problems), *leaks]
    hashes = {"known": inside.sha256, **{name: r.sha256 for name, r in reads.items()}}
    boundaries, runs = [boundary], [_run(boundary, in_source.name, hashes, shown)]
    if fit_on and made:
        training = read(fit_on, classes=True)
        problems += training.problems
        problems += _other_images(boundary, training, fit_on)
        source = match_classes(training.source, boundary, fit_on)
        others = _fitted(boundary, list(made.values()), source, training.paths)
        hashes = {**hashes, "fitted on": training.sha256}
        runs += [
            replace(_run(other, in_source.name, hashes, shown), variant=name)
            for other, name in zip(others, made, strict=True)
        ]
        boundaries += others
    evidence, *more = judge_sets(
        boundaries,
        runs,
        in_source,
        outs,
        seen=seen_names(shown, outs),
        conventions=tuple(CONVENTIONS),
        paths={in_source.name: inside.paths, **{name: r.paths for name, r in reads.items()}},
    )
    if output:
        text = "".join(row.to_json() + "\n" for one in (evidence, *more) for row in one.results)
        replace_file(output / ROWS, text.encode())
        notes = [str(problem) for problem in leaks]
        title = f"Evaluation on {known.name}"
        write_page(
            output / REPORT,
            title,
            [evidence, *more],
            notes=notes,
            costs=costs,
            folders=[str(model) if model else "MODEL"],
        )
    return Evaluation(evidence, tuple(more), tuple(problems))


def _detectors(
    boundary: Boundary, names: Sequence[str], fit_on: Path | None
) -> dict[str, Detector]:
    """The further detectors that were asked for, by name."""
    names = [names] if isinstance(names, str) else names
    if fit_on is not None and not names:
        raise UserError(
            "images to fit detectors on were given, but no detector; name one with --detector, or "
            "leave --fit-on out"
        )
    if names and fit_on is None:
        raise UserError(
            "detectors were named without the images to fit them on; give the folder the model "
            "was trained on with --fit-on"
        )
    outputs = outputs_of(boundary)
    wanted = detectors_for(outputs) if "all" in names else tuple(dict.fromkeys(names))
    return {name: make_detector(name, outputs) for name in wanted}


def _check_names(known: Path, folders: Sequence[tuple[str, Path, Kind]]) -> None:
    names = [name for name, *_ in folders]
    if len(set(names)) < len(names):
        raise UserError(
            f"the folders of unknown images are named {', '.join(names)}; expected a name of its "
            "own for each"
        )
    for name, folder, _ in folders:
        if name in (known.name, "known", "fitted on"):
            raise UserError(
                f"a folder of unknown images is named {name!r}, which stands for known images "
                "here; give it another name, NAME=DIR"
            )
        if folder.exists() and known.exists() and folder.samefile(known):
            raise UserError(
                f"{folder} was given as known images and as {name!r}; the same images cannot be "
                "both: give another folder"
            )


def find_leaks(
    boundary: Boundary, reads: Mapping[str, FolderRead], known: str
) -> tuple[set[str], list[Problem]]:
    """Pictures that make an evaluation say too much: seen in training, or in two sets at once.

    Pictures are equal where their pixels are, as the network takes them, whatever their folder.

    Args:
        boundary: that remembers what it was fitted on.
        reads: the sets by name.
        known: the name of the set of known images.

    Returns:
        The names of the sets of unknown images of which some were shown in training, and a sentence
        on each set with such pictures: how many, and the first.
    """
    learned, shown = boundary.fingerprints()
    seen, problems = set(), []
    for name, read in reads.items():
        for words, kept in (("learned from", learned), ("shown as outliers", shown)):
            found = find_seen(read, kept)
            if found:
                problems.append(
                    _leak(found, read, f"{words} in training: the numbers flatter the model")
                )
                if name != known:
                    seen.add(name)
    names = list(reads)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            copies = [copy.path for copy in find_copies(reads[first], reads[second])]
            if copies:
                problems.append(_leak(copies, reads[second], f"also in {first}"))
    return seen, problems


def _leak(paths: Sequence[str], read: FolderRead, words: str) -> Problem:
    total = len(read.paths)
    return Problem(
        paths[0], f"it and {len(paths) - 1:,} more of {total:,} pictures were {words}", used=True
    )


def _other_images(boundary: Boundary, training: FolderRead, folder: Path) -> list[Problem]:
    learned_from = boundary.about.get("data_sha256", {})
    if training.sha256 == learned_from.get("known", training.sha256):
        return []
    words = "not the images the model was trained on: other ones are held out here"
    return [Problem(folder, words, used=True)]


def outputs_of(boundary: Boundary) -> tuple[Field, ...]:
    """What the boundary's network gives.

    Args:
        boundary: on any network.
    """
    heads = [field for field in get_args(Head) if field in boundary.backbone.heads]
    return ("stages", "features", *heads)


def _fitted(
    boundary: Boundary, detectors: Sequence[Detector], source: Source, paths: Sequence[str]
) -> list[Boundary]:
    """Boundaries on the same network, fitted and calibrated on the images that ``fit`` learned from
    and held out."""
    group_by = boundary.about.get("settings", {}).get("group_by", "none")
    groups = group_images(source, paths, group_by).ids
    hold_out = _hold_out(boundary)
    if hold_out.share == 0:
        raise UserError(
            "this model learned from all of its few pictures and left them out in turn to set its "
            "threshold, so none are left to set those of other detectors; fit it again with "
            "--held-out 0.2 to compare them"
        )
    held, choosing = hold_out.draw(source, groups)
    learned = source.take(np.setdiff1d(np.arange(len(source)), [*held, *choosing]))
    return with_detectors(boundary, detectors, learned, source.take(held), groups[held])


def _hold_out(boundary: Boundary) -> HoldOut:
    """What ``fit`` kept from training; as its defaults say where an older model does not."""
    settings = boundary.about.get("settings", {})
    if "hold_out" in settings:
        return HoldOut(**settings["hold_out"])
    threshold = boundary.threshold
    return HoldOut(
        _seed(settings),
        float(settings.get("held_out", 0.1)),
        least_groups(boundary.acceptance, threshold.stated_confidence, threshold.max_error),
        choosing=False,
    )


def _seed(settings: JsonMapping) -> int:
    """The seed of a fit; 0 where an older model does not say."""
    noted = settings.get("hold_out") or settings.get("training") or {}
    return int(noted.get("seed", 0))


def match_classes(source: Source, boundary: Boundary, folder: Path) -> Source:
    """The source with the boundary's class indices.

    Args:
        source: with class names of its own, which may be fewer.
        boundary: whose classes are meant.
        folder: for the error.

    Raises:
        UserError: a class that the boundary does not know.
    """
    known = {same_name(name): index for index, name in enumerate(boundary.class_names)}
    unknown = [name for name in source.class_names if same_name(name) not in known]
    if unknown:
        raise UserError(
            f"{printable(folder)} has classes which the model does not know: "
            f"{name_unknown(unknown, boundary.class_names)}; it knows "
            f"{len(boundary.class_names)}, {printable(', '.join(boundary.class_names[:NAMED]))}"
            f"{' ...' if len(boundary.class_names) > NAMED else ''}; move the unknown ones to a "
            "folder of their own and give it with --novelty"
        )
    new_label = np.array([known[same_name(name)] for name in source.class_names], dtype=np.int64)
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
        seed=_seed(settings),
        seen_out=tuple(out.name for out in seen) or (("outliers",) if shown else ()),
        detector=type(boundary.detector).__name__,
        train_seconds=float(about.get("train_seconds", 0.0)),
        train_images=int(about.get("train_images", 0)),
        provenance=provenance(evaluated, hashes, describe_hardware(torch.device("cpu"))),
    )


def _finite(value: float) -> float | None:
    """The number, or None where JSON has no word for it."""
    return value if math.isfinite(value) else None
