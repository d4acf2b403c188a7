"""Figure 3 of the paper: principal components of the embeddings of ML and of ODM that saw
novelties, in blue and out yellow.

The paper has a column for each method and a row for each out set; ours is turned, as Figure 1 is.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from knowbound.boundary.boundary import Boundary
from knowbound.boundary.model_file import DESCRIPTION
from knowbound.evidence import Evidence
from knowbound.experiment import Experiment, run
from knowbound.judging import judge_sets
from knowbound.paper.cells import OnStep, cell_name, cell_of, cell_of_row
from knowbound.paper.signs.class_splits import ClassSplit, class_split
from knowbound.paper.signs.scale import CPU, Scale
from knowbound.paper.signs.split import TsinghuaImages, read_tsinghua
from knowbound.paper.signs.table2 import tsinghua_experiments, with_base
from knowbound.report import embedding_figure, figure_page
from knowbound.report.drawing import check_can_draw
from knowbound.result import Result, read_rows

IN, OUT = "#1f5fd0", "#e3a600"  # blue, and a yellow that shows on white
TITLE = "Figure 3: principal components of the embeddings of traffic signs, in-distribution blue, out-of-distribution yellow"


def figure3_evidence(
    data: Path, results: Path, *, scale: Scale = CPU, seed: int = 0, on_step: OnStep | None = None
) -> list[Evidence]:
    """What ML and ODM (novelty seen) of Table 2 say of the test images.

    Their boundaries are taken from ``results/models`` where Table 2 was made with ``keep_models``,
    else trained.

    Args:
        data: the folder that holds tt100k/ and background/.
        results: the folder that holds the table and its models.
        scale: of Table 2.
        seed: of Table 2.
        on_step: called after every step.

    Raises:
        UserError: files are missing, or the figure cannot be drawn; before any training.
    """
    check_can_draw()
    images, classes = read_tsinghua(data, scale.size), class_split(restricted=True)
    return evidence_on(images, classes, results, scale=scale, seed=seed, on_step=on_step)


def evidence_on(
    images: TsinghuaImages,
    classes: ClassSplit,
    results: Path,
    *,
    scale: Scale = CPU,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> list[Evidence]:
    """As ``figure3_evidence``, on images that were read and classes that were split."""
    _, *shown = tsinghua_experiments(images, classes, scale, seed)[:3]
    if scale.base and not all(_rows_of_kept(experiment, results) for experiment in shown):
        shown = with_base(shown, scale.base, results, on_step)
    return [evidence_of(experiment, results, on_step) for experiment in shown]


def evidence_of(experiment: Experiment, results: Path, on_step: OnStep | None = None) -> Evidence:
    """The judgements of a cell of a table: of its kept model and rows, or of a new training.

    Args:
        experiment: the cell.
        results: the folder of rows and models.
        on_step: called after every step of a new training.
    """
    if rows := _rows_of_kept(experiment, results):
        boundary = Boundary.load(results / "models" / cell_name(experiment))
        (evidence,) = judge_sets(
            [boundary],
            [rows[0].run],
            experiment.split.test,
            experiment.split.unseen_out,
            conventions=experiment.conventions,
        )
    else:
        evidence = run(
            experiment, on_step=partial(on_step, experiment) if on_step else None
        ).evidence
    return replace(
        evidence,
        method=f"{experiment.method} ({experiment.variant})"
        if experiment.variant
        else experiment.method,
    )


def _rows_of_kept(experiment: Experiment, results: Path) -> list[Result]:
    """The cell's rows, if its model was kept; else none."""
    if not (results / "models" / cell_name(experiment) / DESCRIPTION).exists():
        return []
    rows = read_rows(results / f"{experiment.experiment}.jsonl")
    return [row for row in rows if cell_of(experiment) == cell_of_row(row)]


def write_figure3(results: Path, evidence: Sequence[Evidence]) -> tuple[Path, Path]:
    """``results/figure3.png`` and the page ``results/figure3.html``, whose views can be turned.

    Args:
        results: where they go.
        evidence: of the two models.

    Raises:
        UserError: they cannot be written.
    """
    picture, page = results / "figure3.png", results / "figure3.html"
    embedding_figure(picture, evidence, title=TITLE, colours=(IN, OUT))
    figure_page(page, evidence, TITLE, colours=(IN, OUT))
    return picture, page
