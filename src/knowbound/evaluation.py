"""Evaluation of a saved boundary on folders: known classes, novelties and anomalies -> rows and a report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knowbound.boundary import Boundary
from knowbound.data.folder import FolderRead, Problem, read_folder
from knowbound.data.source import Source
from knowbound.data.split import OutSet
from knowbound.errors import UserError
from knowbound.experiment import judge_sets, provenance
from knowbound.files import check_writable, replace_file
from knowbound.labels import Kind
from knowbound.metrics import CONVENTIONS
from knowbound.report import write_page
from knowbound.report.evidence import Evidence
from knowbound.result import Result


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What the boundary said of all folders, and every file that could not be used."""

    evidence: Evidence
    problems: tuple[Problem, ...]


def evaluate(
    boundary: Boundary,
    known: Path,
    *,
    novelty: Mapping[str, Path] | None = None,
    anomaly: Mapping[str, Path] | None = None,
    output: Path | None = None,
    memory_limit: int = 2 * 1024**3,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Measure the boundary on ``known/class/...`` against named folders of novelties and anomalies.

    With ``output`` it writes ``rows.jsonl`` (every metric in every convention) and ``report.html`` there.  Raises UserError for
    folders that cannot be used, a class the boundary does not know, and no out folder at all.
    """
    if output:
        check_writable(output)
    folders = [(name, path, Kind.NOVELTY) for name, path in (novelty or {}).items()]
    folders += [(name, path, Kind.ANOMALY) for name, path in (anomaly or {}).items()]
    if not folders:
        raise UserError(
            "no folder of novelties or anomalies was given; name at least one with --novelty NAME=DIR or --anomaly NAME=DIR"
        )
    if len({name for name, *_ in folders}) < len(folders):
        raise UserError(f"the out folders are named {[n for n, *_ in folders]}; expected a name of its own for each")

    def read(path: Path, classes: bool) -> FolderRead:
        return read_folder(path, boundary.preprocessing, classes=classes, memory_limit=memory_limit, progress=progress)

    inside = read(known, True)
    in_source = match_classes(inside.source, boundary, known)
    reads = [read(path, False) for _, path, _ in folders]
    outs = [OutSet(r.source.without_labels(name), kind) for r, (name, _, kind) in zip(reads, folders, strict=True)]
    paths = {in_source.name: inside.paths, **{o.name: r.paths for o, r in zip(outs, reads, strict=True)}}
    hashes = {"known": inside.sha256, **{o.name: r.sha256 for o, r in zip(outs, reads, strict=True)}}
    template = _template(boundary, in_source.name, hashes)
    evidence = judge_sets(boundary, in_source, outs, template, CONVENTIONS, paths=paths)
    if output:
        text = "".join(row.to_json() + "\n" for row in evidence.results)
        replace_file(output / "rows.jsonl", text.encode())
        write_page(output / "report.html", f"Evaluation on {known.name}", [evidence])
    return Evaluation(evidence, sum((r.problems for r in reads), inside.problems))


def match_classes(source: Source, boundary: Boundary, folder: Path) -> Source:
    """The source with the boundary's class indices.  Raises UserError for a class the boundary does not know."""
    unknown = [name for name in source.class_names if name not in boundary.class_names]
    if unknown:
        raise UserError(
            f"{folder} has the classes {unknown}, which the model does not know (it knows {list(boundary.class_names)}); move "
            "them to a folder of their own and give it with --novelty"
        )
    new_label = np.array([boundary.class_names.index(name) for name in source.class_names], dtype=np.int64)
    return Source(source.name, source.pixels, new_label[source.labels], boundary.class_names)


def _template(boundary: Boundary, in_dist: str, hashes: Mapping[str, str]) -> Result:
    about = boundary.about
    objective = str(about.get("objective", ""))
    training = {"model": about, "acceptance": boundary.acceptance, "threshold": float(boundary.threshold)}
    return Result(
        experiment="evaluate", scale="", method=objective.upper() or "model", variant="",
        backbone=type(boundary.backbone).__name__, in_dist=in_dist, split="folders",
        seen_out=("outliers",) if objective == "odm" else (),
        seed=int(about.get("settings", {}).get("training", {}).get("seed", 0)),
        out_dist="", kind="", seen=False, detector=type(boundary.detector).__name__, convention="", n_in=0, n_out=0,
        in_accuracy=None, fpr95=1.0, detection_error=0.5, auroc=0.0, aupr_in=0.0, aupr_out=0.0,
        train_seconds=float(about.get("train_seconds", 0.0)), train_images=int(about.get("train_images", 0)),
        provenance=provenance(training, hashes),
    )  # fmt: skip
