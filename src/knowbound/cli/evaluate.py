"""The command that measures a model on images whose truth is known."""

from pathlib import Path
from typing import Annotated

import typer

from knowbound.cli.console import console, print_problems, print_results
from knowbound.cli.options import SEVERAL, Model, Overwrite
from knowbound.cli.progress import reading_bar
from knowbound.errors import UserError


def evaluate(
    model: Model,
    known: Annotated[
        Path, typer.Option(metavar="DIR", help="Test images of the known classes: DIR/class/...")
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", help="Where rows.jsonl and report.html go."),
    ],
    novelty: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=DIR",
            help=f"Images of related classes that the model was not taught. {SEVERAL}",
        ),
    ] = None,
    anomaly: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=DIR", help=f"Images of nothing like the classes. {SEVERAL}"),
    ] = None,
    detector: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Also measure this detector on the same network; all: every one that the network "
            f"can have. {SEVERAL}",
        ),
    ] = None,
    fit_on: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Images that the model was trained on: every --detector learns from them.",
        ),
    ] = None,
    cost: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MISTAKE=COST",
            help="What a mistake costs, such as novelty-as-known=10: says which acceptance costs "
            "least. May be repeated, or hold several with commas between.",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure a model on images whose truth you know, and write a report.

    **Examples**

        knowbound evaluate model --known test/ --novelty new=new/ --anomaly road=road/ -o report

        knowbound evaluate model --known test/ --detector all --fit-on signs/ -o report

        knowbound evaluate model --known test/ --novelty new=new/ -o report \\
            --cost known-as-novelty=1,novelty-as-known=10
    """
    from knowbound.boundary import Boundary
    from knowbound.report import confusion_lines, cost_sentence, summary, told_apart
    from knowbound.workflows.evaluate import evaluate as evaluate_folders

    costs = _costs(cost)
    with reading_bar() as reading:
        evaluation = evaluate_folders(
            Boundary.load(model),
            known,
            novelty=_named(novelty, "--novelty"),
            anomaly=_named(anomaly, "--anomaly"),
            detectors=detector or (),
            fit_on=fit_on,
            output=output,
            costs=costs,
            model=model,
            overwrite=overwrite,
            progress=reading,
        )
    print_problems(evaluation.problems)
    for sentence in (*summary(evaluation.evidence), *told_apart(evaluation.evidence)):
        console().print(sentence, markup=False)
    for line in ("", *confusion_lines(evaluation.evidence), ""):
        console().print(line, markup=False)
    if costs:
        console().print(cost_sentence(evaluation.evidence, costs), markup=False)
    everything = (evaluation.evidence, *evaluation.others)
    print_results([row for one in everything for row in one.results])
    console().print(f"Report: {output / 'report.html'}", markup=False)


def _named(pairs: list[str] | None, option: str) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for pair in pairs or ():
        name, equals, folder = pair.partition("=")
        if not equals or not name or not folder:
            raise UserError(
                f"{option} {pair} was given; expected NAME=DIR, such as {option} signs=new_signs/"
            )
        if name in named:
            raise UserError(
                f"{option} gives the name {name!r} twice; give every folder a name of its own"
            )
        named[name] = Path(folder)
    return named


def _costs(given: list[str] | None) -> dict[str, float]:
    """``novelty-as-known=10``, several separated by commas -> costs by name."""
    costs: dict[str, float] = {}
    for pair in ",".join(given or ()).replace(" ", ",").split(","):
        name, _, cost = pair.partition("=")
        try:
            costs |= {name: float(cost)} if pair else {}
        except ValueError as error:
            raise UserError(
                f"--cost {pair} was given; expected MISTAKE=COST, such as novelty-as-known=10"
            ) from error
    return costs
