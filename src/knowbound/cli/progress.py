"""Progress on stderr: bars on a terminal, a line now and then where there is none."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from knowbound.cli.console import console
from knowbound.values import JsonObject

if TYPE_CHECKING:
    from knowbound.training.loop import Progress

EVERY = 30.0
"""Seconds between two lines where there is no terminal."""


@contextmanager
def reading_bar(words: str = "Reading") -> Iterator[Callable[..., None]]:
    """Something to be called with (done, total or None), and with other words where something else
    is done: a bar that is gone when it is full, or lines."""
    if not sys.stderr.isatty():
        lines = _Lines()
        yield lambda done, total, what=words: lines(
            f"{what}: {done:,}" + (f" of {total:,}" if total is not None else ""), last=False
        )
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(err=True), transient=True) as bar:
        task = bar.add_task(words, total=None)
        yield lambda done, total, what=words: bar.update(
            task, completed=done, total=total, description=what
        )


@contextmanager
def training_bar() -> Iterator[Callable[[str, "Progress"], None]]:
    """Something to be called with a name and a step's progress: bars with loss, images per second
    and the time left, a new one for each new name; or lines."""
    if not sys.stderr.isatty():
        lines = _Lines()
        yield lambda name, step: lines(
            f"{name}: step {step.step:,} of {step.steps:,}, {_numbers(step)}",
            last=step.step == step.steps,
        )
        return
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
        tasks: JsonObject = {}

        def show(name: str, step: "Progress") -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=step.steps, numbers="")
            bar.update(tasks[name], completed=step.step, numbers=_numbers(step))

        yield show


def _numbers(step: "Progress") -> str:
    if math.isnan(step.loss):  # nothing is trained
        return f"{step.images_per_second:,.0f} images/s"
    return f"loss {step.loss:.3f}, {step.images_per_second:,.0f} images/s"


class _Lines:
    """Prints a line at most every ``EVERY`` seconds, and the last one."""

    def __init__(self) -> None:
        self.printed = time.monotonic()

    def __call__(self, line: str, *, last: bool) -> None:
        now = time.monotonic()
        if last or now - self.printed >= EVERY:
            console(err=True).print(line, markup=False)
            self.printed = now
