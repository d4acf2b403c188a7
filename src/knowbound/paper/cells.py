"""A table cell by cell: train what is missing, append its rows, and write the Markdown from the
rows alone."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from knowbound.experiment import Experiment, Outcome, run
from knowbound.files import replace_file
from knowbound.paper.published import published
from knowbound.report import markdown_table
from knowbound.result import Result, append_rows, read_rows
from knowbound.training.loop import Progress

OnStep = Callable[[Experiment, Progress], None]
MoreRows = Callable[[Experiment, Outcome], Sequence[Result]]


def run_missing(
    experiment: Experiment,
    path: Path,
    on_step: OnStep | None,
    *,
    models: Path | None = None,
    more_rows: MoreRows | None = None,
) -> None:
    """Run an experiment unless its rows are already in the file; append them when it is done.

    Args:
        experiment: the cell.
        path: of the rows.
        on_step: called after every step.
        models: a folder in which the trained boundary is kept, as ``models/<experiment>-<cell>``.
        more_rows: further rows from the same trained network, appended together with the others.
    """
    if has_rows(path, *cell_of(experiment)):
        return
    checkpoint = path.parent / ".running" / f"{cell_name(experiment)}.safetensors"
    outcome = run(
        experiment, checkpoint=checkpoint, on_step=partial(on_step, experiment) if on_step else None
    )
    rows = [*outcome.evidence.results, *(more_rows(experiment, outcome) if more_rows else ())]
    if models:
        outcome.boundary.save(models / cell_name(experiment))
    append_rows(path, rows)
    for kept in (checkpoint, checkpoint.with_suffix(".base.safetensors")):
        kept.unlink(missing_ok=True)


def has_rows(path: Path, scale: str, method: str, variant: str, split: str, seed: int) -> bool:
    """Whether a cell's rows are in the file.

    Args:
        path: of the rows.
        scale: of the cell.
        method: of the cell.
        variant: of the cell.
        split: of the cell.
        seed: of the cell.
    """
    return any(cell_of_row(row) == (scale, method, variant, split, seed) for row in read_rows(path))


def cell_of_row(row: Result) -> tuple[str, str, str, str, int]:
    """The cell of a table that a row belongs to, as ``cell_of`` gives it."""
    run = row.run
    return run.scale, run.method, run.variant, run.split, run.seed


def cell_of(experiment: Experiment) -> tuple[str, str, str, str, int]:
    """What tells one cell of a table from another: scale, method, variant, split and seed."""
    return (
        experiment.scale,
        experiment.method,
        experiment.variant,
        experiment.split.name,
        experiment.training.seed,
    )


def cell_name(experiment: Experiment) -> str:
    """The table and the cell as a file name, such as
    ``table2-cpu-ODM-novelty_seen-Tsinghua_restricted-0``."""
    name = (
        "-".join(str(part) for part in cell_of(experiment) if part != "")
        .replace(" ", "_")
        .replace(",", "")
    )
    return f"{experiment.experiment}-{name}"


def write_table(results: Path, table: str, title: str, introduction: str, aupr_note: str) -> Path:
    """``results/<table>.md`` from ``results/<table>.jsonl`` and nothing else.

    It is in the conventions exact, seed and, where older rows have it, seed_unthinned.

    Args:
        results: the folder.
        table: its name.
        title: of the page.
        introduction: of the page.
        aupr_note: as in ``markdown_table``.

    Returns:
        The path of the page.
    """
    rows = list(read_rows(results / f"{table}.jsonl"))
    measured = {row.convention for row in rows}
    parts = [f"# {title}\n", introduction]
    for convention, about in SECTIONS.items():
        if convention not in measured:
            continue
        parts.append(f"\n## Convention `{convention}`\n")
        if about:
            parts.append(about.format(table=table))
        parts.append(
            markdown_table(rows, published(table), convention=convention, aupr_note=aupr_note)
        )
    path = results / f"{table}.md"
    replace_file(path, "\n".join(parts).encode())
    return path


SECTIONS = {
    "exact": "",
    "seed": (
        "As the authors' released program computes them: at the TPR nearest 95% among the points "
        "that scikit-learn's `roc_curve` keeps by default, which is often above 95%.\n"
    ),
    "seed_unthinned": (
        "These rows were measured before `seed` dropped points of the ROC curve as the released "
        "program does. Here every distinct score is a threshold, so the TPR is within half an "
        "image of 95%. Once their models are trained again, the cells of FPR95 and detection error "
        "change: they are then at the TPR that the program finds. AUROC, AUPR-in and AUPR-out are "
        "defined alike. To measure them as `seed`, remove `{table}.jsonl` and run the command "
        "again.\n"
    ),
}
"""The conventions of a page in order, and what is said of each above its table."""
