"""Where the commands print, and how tables stay readable there."""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from knowbound.data.pictures.problems import Problem
    from knowbound.result import Published, Result
    from knowbound.workflows.predict import Prediction

PATH = 40
"""Characters of a path that a narrow table shows: its end, which tells files apart."""


def process() -> int:
    """Which of the processes that torchrun started this is; the first, or only one, alone prints
    and writes."""
    return int(os.environ.get("RANK", "0")) if "LOCAL_RANK" in os.environ else 0


def console(*, err: bool = False) -> Any:
    """A rich console on stdout, or on stderr with ``err``; silent in all processes but the
    first."""
    from rich.console import Console

    return Console(stderr=err, highlight=False, soft_wrap=True, quiet=process() > 0)


def print_problems(problems: "Iterable[Problem]") -> None:
    """A line on stderr for each kind of problem: how many files, and the first."""
    from knowbound.data.pictures.problems import group_problems

    shown = console(err=True)
    for group in group_problems(problems):
        shown.print(str(group), markup=False)


def print_predictions(rows: "Iterable[Prediction]") -> None:
    """The rows of ``predict`` on stdout as they come: aligned on a terminal, tabs in a pipe."""
    plain = not sys.stdout.isatty()
    headings = ("verdict", "class", "p-value", "score", "file", "note")
    widths = (8, 16, 8, 10, PATH, 0)
    typer.echo(_line(headings, widths, plain))
    for row in rows:
        said = row.verdict
        known = said.class_name if said else None
        nearest = f"({said.nearest_class})" if said else ""
        cells = (
            str(said.decision) if said else "error",
            known or nearest,
            f"{said.p_value:.3g}" if said else "",
            f"{said.score:.4g}" if said else "",
            row.path if plain else end_of(row.path, PATH),
            row.error or row.remark,
        )
        typer.echo(_line(cells, widths, plain))


def width() -> int | None:
    """Columns of the terminal; None where stdout is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_results(results: "Sequence[Result]", published: "Sequence[Published]" = ()) -> None:
    """The rows as a table on stdout, in the convention ``exact``."""
    from knowbound.report import terminal_table

    if results and not process():
        typer.echo(terminal_table(results, published, width=width()))


def end_of(text: str, most: int) -> str:
    """The text, or as much of its end as fits after an ellipsis."""
    return text if len(text) <= most else f"…{text[1 - most :]}"


def _line(cells: Sequence[str], widths: Sequence[int], plain: bool) -> str:
    if plain:
        return "\t".join(cells)
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()
