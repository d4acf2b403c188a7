"""The command that says known, novelty or anomaly of every picture."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from knowbound.cli.console import console, print_predictions, print_problems
from knowbound.cli.options import AnyModel, Overwrite
from knowbound.cli.progress import reading_bar
from knowbound.errors import UserError
from knowbound.judgement.false_discovery import check_fdr
from knowbound.values import JsonObject

if TYPE_CHECKING:
    from knowbound.workflows.kept_parts import KeptParts
    from knowbound.workflows.predict import Inputs


def predict(
    model: AnyModel,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT",
            help="Pictures, folders, lists (.csv, .txt, ...; - on standard input), zip and tar "
            "archives, WebDataset shards, Parquet files.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Table to write: .csv, .jsonl or .parquet; - for CSV on standard output.",
            show_default="lines on the terminal",
        ),
    ] = None,
    fdr: Annotated[
        float | None,
        typer.Option(
            "--fdr",
            metavar="SHARE",
            help="Decide on all pictures together, so that on average at most this share of those "
            "called unknown are known ones.",
            show_default="each by the model's threshold",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Continue a run that was stopped, with the parts it has finished."
        ),
    ] = False,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray", help="Judge with Ray: on all cores of this machine, or on --ray-address."
        ),
    ] = False,
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Judge on this cluster: ray://host:10001, or auto for the one that this machine "
            "is part of.",
            show_default="with --ray, one on this machine, which ends with the run",
        ),
    ] = None,
    image_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Column of Parquet files that holds pictures.",
            show_default="found by its type and name",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Say known, novelty or anomaly of every picture. One that cannot be read gets the reason in its
    row, and stops nothing.

    **Examples**

        knowbound predict model new.jpg

        knowbound predict model incoming/ -o verdicts.csv

        knowbound predict model shards/*.tar -o verdicts.parquet --resume

        knowbound predict model archive.zip -o verdicts.csv --ray

        knowbound predict model incoming/ --fdr 0.1 -o verdicts.csv

        find incoming -name '*.jpg' | knowbound predict model - -o - | sort
    """
    from knowbound.product.any_model import load_model
    from knowbound.product.ray_data import LOCAL
    from knowbound.workflows.predict import Counted, find_inputs, predict_parts
    from knowbound.workflows.tables import table_writer

    if fdr is not None:
        check_fdr(fdr)
    to_stdout = output == Path("-")
    in_parts = output is not None and not to_stdout
    address = ray_address or (LOCAL if ray else None)
    if (address or resume) and not in_parts:
        option = "--resume" if resume else "--ray" if ray else "--ray-address"
        raise UserError(f"{option} needs a table to write, such as -o verdicts.csv")
    found = find_inputs(inputs, image_column)
    print_problems(found.problems)
    if in_parts and output is not None:
        options = {"resume": resume, "overwrite": overwrite, "inputs": inputs}
        _predict_parts(model, found, output, address, fdr, options)
        return
    judged = predict_parts(load_model(model), found.parts, fdr=fdr)
    counted = Counted()
    if output is None:
        print_predictions(counted(judged))
    else:
        with table_writer(output) as write, reading_bar("Judging") as bar:
            for done, row in enumerate(counted(judged), 1):
                write(row)
                bar(done, found.count)
    console(err=True).print(f"{counted}.", markup=False)


def _predict_parts(
    model: Path,
    found: "Inputs",
    output: Path,
    address: str | None,
    fdr: float | None,
    options: JsonObject,
) -> None:
    """The table of ``predict``, part by part."""
    from knowbound.product.any_model import load_model
    from knowbound.product.ray_data import judge_parts
    from knowbound.workflows.kept_parts import kept_parts, write_part

    place = Path(os.path.realpath(output))  # of a link the place that it leads to
    parts = place.with_name(f"{place.name}.parts")
    if options["resume"] and output.exists() and not parts.exists():
        console().print(
            f"{output} is finished already; nothing to resume. Whether it is of these pictures is "
            "not checked: without --resume they are judged.",
            markup=False,
        )
        return
    judge = load_model(model)
    limit = judge.domain_threshold if fdr is not None else math.inf
    with kept_parts(output, found.parts, model, **options) as kept:
        missing = kept.missing()
        if len(missing) < kept.count:
            console(err=True).print(
                f"{kept.count - len(missing):,} of {kept.count:,} parts are finished already.",
                markup=False,
            )
        done = kept.rows()
        with reading_bar("Judging") as bar, _stopped_between(kept):

            def step(rows: int) -> None:
                nonlocal done
                done += rows
                bar(done, found.count)

            if address is not None:
                judge_parts(model, found.parts, kept, address=address, on_part=step)
            else:
                for number in missing:
                    write_part(judge, found.parts[number], kept.path(number), on_row=step)
        counted = kept.join(fdr=fdr, domain_threshold=limit)
    console().print(f"{counted}. Table: {output}", markup=False)


@contextmanager
def _stopped_between(kept: "KeptParts") -> Iterator[None]:
    """A block that says, where Ctrl-C ends it, how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        finished = kept.count - len(kept.missing())
        if finished:
            console(err=True).print(
                f"Stopped after {finished:,} of {kept.count:,} parts. The same command with "
                "--resume continues.",
                markup=False,
            )
        raise typer.Exit(130) from None
