"""What the commands share: where they print, their progress bars, and an option."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from knowbound.data.pictures.folder import Problem
    from knowbound.training.loop import Progress
    from knowbound.workflows.predict import Prediction

Compile = Annotated[
    bool | None,
    typer.Option(
        "--compile/--no-compile",
        help="Train with torch.compile.",
        show_default="if a few timed steps of a long training gain from it",
    ),
]


def process() -> int:
    """Which of the processes that torchrun started this is; the first, or only one, alone prints
    and writes."""
    return int(os.environ.get("RANK", "0")) if "LOCAL_RANK" in os.environ else 0


def console(*, err: bool = False) -> Any:
    """A rich console on stdout, or on stderr with ``err``; silent in all processes but the
    first."""
    from rich.console import Console

    return Console(stderr=err, highlight=False, soft_wrap=True, quiet=process() > 0)


@contextmanager
def reading_bar(words: str = "Reading") -> "Iterator[Callable[[int, int], None]]":
    """A bar on stderr to be called with (done, total), gone when it is full."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console(err=True),
        transient=True,
    ) as bar:
        task = bar.add_task(words, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def training_bar() -> "Iterator[Callable[[str, Progress], None]]":
    """A bar with loss, images per second and the time left; a new one for each new name."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[numbers]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console(err=True)) as bar:
        tasks: dict[str, Any] = {}

        def show(name: str, progress: "Progress") -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=progress.steps, numbers="")
            numbers = f"loss {progress.loss:.3f}, {progress.images_per_second:,.0f} images/s"
            bar.update(tasks[name], completed=progress.step, numbers=numbers)

        yield show


def print_problems(problems: "tuple[Problem, ...]") -> None:
    """A line on stderr for each file that was left out or used with a remark."""
    shown = console(err=True)
    for problem in problems:
        shown.print(
            f"{'note' if problem.used else 'left out'}: {problem.path}: {problem.reason}",
            markup=False,
        )


def print_predictions(rows: "list[Prediction]") -> None:
    """The rows of ``predict`` as a table on the terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table("file", "verdict", "class", "nearest class", "score", "threshold", "note")
    for row in rows:
        said = row.verdict
        cells = (
            row.path,
            str(said.decision) if said else "error",
            (said.class_name if said else None) or "",
            said.nearest_class if said else "",
            f"{said.score:.4g}" if said else "",
            f"{said.threshold:.4g}" if said else "",
            row.error or row.remark,
        )
        table.add_row(*(Text(cell) for cell in cells))
    console().print(table)
