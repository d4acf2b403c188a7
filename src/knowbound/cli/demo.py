"""The command that shows everything on digits that come along."""

from pathlib import Path
from typing import Annotated

import typer

from knowbound.cli.console import print_results
from knowbound.cli.options import Seed
from knowbound.cli.progress import training_bar


def demo(
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", help="Where the models and the report go."),
    ] = Path("runs/demo"),
    seed: Seed = 0,
) -> None:
    """Train CE, ML and ODM on bundled handwritten digits and write a report. About a minute,
    nothing to download.

    **Example**

        knowbound demo
    """
    from knowbound.report import examples, summary
    from knowbound.workflows.demo import run_demo

    with training_bar() as bar:
        evidence = run_demo(
            output, seed=seed, on_step=lambda method, progress: bar(method, progress)
        )
    print_results([row for one in evidence for row in one.results])
    odm = evidence[-1]
    typer.echo(f"\nTen pictures, and what {odm.method} says of them:")
    for truth, said in examples(odm):
        typer.echo(f"  {truth:32}{said}")
    typer.echo("\nIn three numbers:")
    known, *others = summary(odm)
    for sentence in (known, *others[-3::2]):
        typer.echo(f"  {sentence}")
    models = ", ".join(str(output / one.method.lower()) for one in evidence)
    typer.echo(f"\nReport: {output / 'report.html'}. Models: {models}")
