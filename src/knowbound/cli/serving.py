"""The command that answers requests for verdicts."""

import contextlib
import logging
import math
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from knowbound.cli.console import console
from knowbound.cli.options import FOLDER, MaxPixels
from knowbound.errors import UserError
from knowbound.files import sentence_for

TOKEN = "KNOWBOUND_TOKEN"
KEPT, BOUNDS = "Rejected pictures", "Bounds"
"""Headings in the help."""


def serve(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL",
            help=f"{FOLDER}, or file that `knowbound export` wrote (.onnx); NAME=MODEL names it. Of "
            "several, the first answers requests that name none.",
        ),
    ],
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="Address to listen on; 0.0.0.0: for other machines, too."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(metavar="N", help="Port to listen on; 0: a free one.", min=0, max=65535),
    ] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File with the token that every request must bring; other machines may ask only "
            "with one.",
            show_default=f"the variable {TOKEN}",
        ),
    ] = None,
    reload_seconds: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="How often a new model is looked for in the same place; 0: never.",
        ),
    ] = 2.0,
    keep_novelties: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep rejected pictures, in DIR/novelty and DIR/anomaly.",
            rich_help_panel=KEPT,
        ),
    ] = None,
    keep_at_most: Annotated[
        int,
        typer.Option(metavar="N", help="The most pictures in DIR.", min=1, rich_help_panel=KEPT),
    ] = 10_000,
    keep_gb: Annotated[
        float,
        typer.Option(metavar="GB", help="The most gigabytes in DIR.", rich_help_panel=KEPT),
    ] = 1.0,
    max_batch: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="The most pictures judged in one pass.",
            min=1,
            rich_help_panel=BOUNDS,
        ),
    ] = 64,
    max_wait_ms: Annotated[
        float,
        typer.Option(
            metavar="MS",
            help="Milliseconds that a picture waits for others, to be judged with them.",
            rich_help_panel=BOUNDS,
        ),
    ] = 5.0,
    queue: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="The most pictures that may wait; further ones are refused (503).",
            min=1,
            rich_help_panel=BOUNDS,
        ),
    ] = 1024,
    max_pictures: Annotated[
        int,
        typer.Option(
            metavar="N", help="The most pictures of one request.", min=1, rich_help_panel=BOUNDS
        ),
    ] = 256,
    max_request_mb: Annotated[
        float,
        typer.Option(
            metavar="MB", help="The most megabytes of one request.", rich_help_panel=BOUNDS
        ),
    ] = 64.0,
    max_pixels: MaxPixels = 50_000_000,
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="Time within which a request must arrive, and be answered.",
            rich_help_panel=BOUNDS,
        ),
    ] = 30.0,
    access_log: Annotated[
        bool,
        typer.Option(
            "--access-log/--no-access-log",
            help="Print a line of JSON for every request, without names or contents of pictures.",
        ),
    ] = True,
) -> None:
    """Answer requests for verdicts over HTTP, and show a page to drop pictures on. On Ctrl-C it
    answers what it has accepted, then ends.

    **Examples**

        knowbound serve model.onnx

        knowbound serve signs=signs.onnx cars=cars_model --port 8080

        knowbound serve model.onnx --host 0.0.0.0 --token-file token.txt --keep-novelties review
    """
    from knowbound.product.serving.server import Server, Settings
    from knowbound.product.serving.settings import Limits

    for option, value, least in (
        ("--keep-gb", keep_gb, 1e-9),
        ("--max-request-mb", max_request_mb, 1e-6),
        ("--reload-seconds", reload_seconds, 0.0),
    ):
        if not least <= value < math.inf:
            expected = "0 or more" if least == 0 else "above 0"
            raise UserError(f"{option} {value:g} was given; expected a number {expected}")
    limits = Limits(
        max_batch=max_batch,
        max_wait=max_wait_ms / 1000,
        queue=queue,
        request_bytes=round(max_request_mb * 1e6),
        held_bytes=max(Limits.held_bytes, 2 * round(max_request_mb * 1e6)),
        pictures=max_pictures,
        pixels=max_pixels,
        seconds=timeout,
        header_seconds=min(Limits.header_seconds, timeout),
    )
    settings = Settings(
        host=host,
        port=port,
        token=_token(token_file),
        reload_seconds=reload_seconds,
        keep=keep_novelties,
        keep_most=keep_at_most,
        keep_bytes=round(keep_gb * 1e9),
        limits=limits,
    )
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(message)s"
    )
    server = Server(
        _by_name(models), settings, log=_print_line if access_log else lambda line: None
    )
    named = ", ".join(server.paths)
    server.run(
        lambda url: console(err=True).print(f"{named}: {url} (Ctrl-C ends it)", markup=False)
    )


def _print_line(line: str) -> None:
    with contextlib.suppress(OSError):  # whoever read it has gone; the service goes on
        typer.echo(line)


def _token(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(TOKEN) or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise UserError(sentence_for(error, file, "read")) from error


def _by_name(given: list[Path]) -> dict[str, Path]:
    """The models by name: that before an equals sign, or else the name of the file or folder."""
    named: dict[str, Path] = {}
    for one in map(str, given):
        name, equals, path = one.partition("=")
        if not equals or Path(one).exists():
            place = Path(one).resolve()
            name, path = (place.stem if place.suffix == ".onnx" else place.name) or "model", one
        if not name or not path:
            raise UserError(f"{one} was given; expected NAME=PATH, such as signs=signs.onnx")
        if name in named:
            raise UserError(
                f"two models have the name {name!r}; name them: a={named[name]} b={path}"
            )
        named[name] = Path(path)
    return named
