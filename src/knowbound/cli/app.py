"""All commands under one name, and what becomes of a mistake."""

import io
import os
import sys
from typing import Annotated, NoReturn

import typer

from knowbound._version import __version__
from knowbound.cli.cache import cache
from knowbound.cli.console import process
from knowbound.cli.demo import demo
from knowbound.cli.evaluate import evaluate
from knowbound.cli.export import export
from knowbound.cli.finished import adjust, show
from knowbound.cli.fit import fit
from knowbound.cli.flags import Command, Group
from knowbound.cli.predict import predict
from knowbound.cli.reproduce import reproduce_app
from knowbound.cli.serving import serve
from knowbound.errors import TrainingStoppedError, UserError
from knowbound.files import sentence_for
from knowbound.memory import keep_freed_memory

app = typer.Typer(
    name="knowbound",
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Image classifiers that know where their knowledge ends: **known** (and which class), "
    "**novelty** or **anomaly**.",
    epilog="Start with `knowbound demo`. Every command explains itself with examples: `knowbound "
    "fit --help`.",
)
for command in (demo, fit, predict, evaluate, show, adjust, export, serve, cache):
    app.command(cls=Command)(command)
app.add_typer(reproduce_app, name="reproduce")
TRAINING = (
    *("accelerate", "jinja2", "markupsafe", "plotly", "pooch", "requests", "safetensors"),
    *("scipy", "sklearn", "torch", "urllib3"),
)
"""Packages of the extra ``train``."""

SPINS = "2000"
"""Rounds that a waiting thread of GNU's OpenMP, torch's on Linux, spins before it sleeps."""


def main() -> None:
    """Entry point: a user's mistake, or the operating system's refusal, is one sentence on stderr
    and exit code 2, never a traceback."""
    _share_cores()
    _escape_names()
    keep_freed_memory()
    try:
        app()
    except (UserError, TrainingStoppedError) as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name not in TRAINING:
            raise
        _fail(f"this needs {error.name}, which is not installed; pip install 'knowbound[train]'")
    except MemoryError:
        _fail(
            "there is not enough memory for this; choose a smaller --size, or close other programs"
        )
    except (OSError, UnicodeError) as error:
        _fail(sentence_for(error, _place(error)))
    finally:
        if "torch" in sys.modules:  # --help must not load it
            from knowbound.training.processes import leave_processes

            leave_processes()


def _share_cores() -> None:
    """Let threads that wait for each other spin some 50 microseconds, then sleep.

    Threads that spin longer take the cores from whoever shares the machine, and from each other; on
    an idle machine threads that sleep at once wake too late.  It holds for what is loaded later; a
    policy of the user's is left as it is.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def _escape_names() -> None:
    """Print a name that the terminal or pipe cannot encode with escapes, as tables have it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _place(error: OSError | UnicodeError) -> str:
    """What the error is about, as far as it says."""
    if isinstance(error, UnicodeError):
        return "a name or the output's encoding"
    return str(error.filename or "a file or the network")


def _fail(message: str) -> NoReturn:
    place = f" in process {process()}" if process() else ""
    text = f"Error{place}: {message}"
    encoding = sys.stderr.encoding or "utf-8"
    typer.secho(text.encode(encoding, "backslashreplace").decode(encoding), fg="red", err=True)
    sys.exit(2)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"knowbound {__version__}")
        raise typer.Exit


@app.callback()
def _before(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    several = "LOCAL_RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"
    if several and context.invoked_subcommand != "fit":
        raise UserError(
            f"`knowbound {context.invoked_subcommand}` was started in {os.environ['WORLD_SIZE']} "
            "processes, but only fit trains in several; start it once"
        )
