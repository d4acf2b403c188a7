"""All commands under one name, and what becomes of a mistake."""

import os
import sys

import typer

from knowbound.cli.console import process
from knowbound.cli.practice import demo, evaluate, fit, predict
from knowbound.cli.reproduce import reproduce_app
from knowbound.errors import TrainingStoppedError, UserError

app = typer.Typer(
    name="knowbound",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Image classifiers that know where their knowledge ends: **known** (and which class), "
    "**novelty** or **anomaly**.",
    epilog="Start with `knowbound demo`. Every command explains itself with examples: `knowbound "
    "fit --help`.",
)
for command in (demo, fit, predict, evaluate):
    app.command()(command)
app.add_typer(reproduce_app, name="reproduce")


def main() -> None:
    """Entry point: a user's mistake is one sentence on stderr and exit code 2, never a
    traceback."""
    try:
        app()
    except (UserError, TrainingStoppedError) as error:
        _fail(str(error))
    except MemoryError:
        _fail(
            "there is not enough memory for this; choose a smaller --size, or close other programs"
        )
    finally:
        if "torch" in sys.modules:  # --help must not load it
            from knowbound.training.processes import leave_processes

            leave_processes()


def _fail(message: str) -> None:
    place = f" in process {process()}" if process() else ""
    typer.secho(f"Error{place}: {message}", fg="red", err=True)
    sys.exit(2)


@app.callback()
def _check_processes(context: typer.Context) -> None:
    several = "LOCAL_RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"
    if several and context.invoked_subcommand != "fit":
        raise UserError(
            f"`knowbound {context.invoked_subcommand}` was started in {os.environ['WORLD_SIZE']} "
            "processes, but only fit trains in several; start it once (predict takes --workers)"
        )
