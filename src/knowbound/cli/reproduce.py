"""The commands that make the paper's tables and figures again."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from knowbound.cli.console import console, print_results
from knowbound.cli.flags import Command, Group
from knowbound.cli.options import Compile, Seed
from knowbound.cli.progress import training_bar
from knowbound.files.lock import locked

reproduce_app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    help="Make the paper's tables and figures again, on the real data.",
)

Data = Annotated[
    Path, typer.Option(metavar="DIR", help="Folder that holds mnist/, svhn/ and cifar10/.")
]
Seeds = Annotated[
    int,
    typer.Option(metavar="N", help="Train with so many seeds, and give their mean.", min=1),
]
Results = Annotated[Path, typer.Option(metavar="DIR", help="Where the rows and the pictures go.")]
Download = Annotated[
    bool, typer.Option("--download", help="Fetch the official files that are missing.")
]
SignData = Annotated[
    Path, typer.Option(metavar="DIR", help="Folder that holds tt100k/ and background/.")
]
ScaleName = Annotated[
    Literal["cpu", "paper"],
    typer.Option(help="cpu: WRN-16-2 for 2 cores; paper: WRN-28-10 for 10,000 steps, for a GPU."),
]
KeepModels = Annotated[
    bool, typer.Option("--keep-models", help="Keep every trained model in RESULTS/models.")
]


@reproduce_app.command(cls=Command)
def table3(
    data: Data,
    results: Results = Path("results"),
    seeds: Seeds = 3,
    download: Download = False,
) -> None:
    """Table 3: MNIST 2, 6, 7 against novelties, noise, SVHN and CIFAR-10. About half an
    hour on one core for three seeds.

    **Example**

        knowbound reproduce table3 --data data --download
    """
    from knowbound.paper.digits.table3 import reproduce, write_table3
    from knowbound.paper.published import published
    from knowbound.paper.two_heads import write_two_heads

    with locked(results), training_bar() as bar:
        rows = reproduce(
            data,
            results,
            seeds=range(seeds),
            download=download,
            on_step=lambda e, p: bar(f"{e.method}, seed {e.training.seed}", p),
        )
    write_table3(results)
    write_two_heads(results)
    print_results(rows, published("table3"))


@reproduce_app.command(cls=Command)
def losses(
    data: Data,
    results: Results = Path("results"),
    seeds: Seeds = 1,
    validation: Annotated[
        bool, typer.Option("--validation", help="Use the split on which settings are chosen.")
    ] = False,
    download: Download = False,
) -> None:
    """Every loss that the paper names, on the split of Table 3. About an hour on one core for each
    seed.

    **Example**

        knowbound reproduce losses --data data
    """
    from knowbound.paper.digits.losses import reproduce, write_losses

    with locked(results), training_bar() as bar:
        reproduce(
            data,
            results,
            seeds=range(seeds),
            validation=validation,
            download=download,
            on_step=lambda e, p: bar(f"{e.method} {e.variant}, seed {e.training.seed}", p),
        )
    console().print(f"Table: {write_losses(results, validation=validation)}", markup=False)


@reproduce_app.command(cls=Command)
def figure1(
    data: Data, results: Results = Path("results"), seed: Seed = 0, download: Download = False
) -> None:
    """Figure 1: the 3-dimensional embeddings of CE, ML and ODM, as a picture and as an interactive
    page.

    **Example**

        knowbound reproduce figure1 --data data
    """
    from knowbound.files import check_writable
    from knowbound.paper.digits.table3 import figure1_evidence
    from knowbound.report import embedding_figure, figure_page

    check_writable(results)
    title = "Figure 1: embeddings of CE, ML and ODM trained on 2, 6, 7 of MNIST"
    with locked(results), training_bar() as bar:
        evidence = figure1_evidence(
            data, seed=seed, download=download, on_step=lambda e, p: bar(e.method, p)
        )
    embedding_figure(results / "figure1.png", evidence, title=title)
    figure_page(results / "figure1.html", evidence, title)
    console().print(
        f"Picture: {results / 'figure1.png'}. Interactive: {results / 'figure1.html'}", markup=False
    )


@reproduce_app.command(cls=Command)
def table1(
    data: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Folder that holds svhn/, cifar10/, tinyimagenet/ and lsun/ or scenes_colour/.",
        ),
    ],
    results: Results = Path("results"),
    scale: Annotated[
        Literal["quick", "cpu", "paper"],
        typer.Option(
            help="quick: a subset in minutes; cpu: all images in one to four hours on 2 cores; "
            "paper: for a GPU."
        ),
    ] = "cpu",
    seed: Seed = 0,
    download: Download = False,
) -> None:
    """Table 1: SVHN and CIFAR-10 against each other, Tiny ImageNet, LSUN and noise, with every
    method compared.

    **Examples**

        knowbound reproduce table1 --data data --scale quick

        knowbound reproduce table1 --data data --scale paper --download
    """
    from knowbound.paper.objects.page import write_table1
    from knowbound.paper.objects.scale import choose_scale
    from knowbound.paper.objects.table1 import reproduce
    from knowbound.paper.published import published
    from knowbound.paper.two_heads import write_two_heads

    with locked(results), training_bar() as bar:
        rows = reproduce(
            data,
            results,
            scale=choose_scale(scale),
            seed=seed,
            download=download,
            on_step=lambda e, p: bar(
                f"{e.method} {e.variant}".rstrip() + f", {e.split.train.name}", p
            ),
        )
    page = write_table1(results)
    write_two_heads(results)
    print_results([row for row in rows if row.run.scale == scale], published("table1"))
    console().print(
        f"The same in both conventions beside the paper's numbers: {page}", markup=False
    )


@reproduce_app.command(cls=Command)
def table2(
    data: SignData,
    results: Results = Path("results"),
    scale: ScaleName = "cpu",
    seeds: Seeds = 1,
    compile: Compile = None,
    keep_models: KeepModels = False,
) -> None:
    """Table 2: traffic signs, ODIN, ML and ODM on the restricted split. --scale cpu takes 20 to 60
    minutes on 2 cores.

    **Examples**

        knowbound reproduce table2 --data data --keep-models

        knowbound reproduce table2 --data data --scale paper
    """
    from knowbound.paper.published import published
    from knowbound.paper.signs.scale import choose_scale
    from knowbound.paper.signs.table2 import reproduce, write_table2
    from knowbound.paper.two_heads import write_two_heads

    with locked(results), training_bar() as bar:
        rows = reproduce(
            data,
            results,
            scale=choose_scale(scale, compile=compile),
            seeds=range(seeds),
            keep_models=keep_models,
            on_step=lambda e, p: bar(
                f"{e.method} {e.variant}".rstrip() + f", seed {e.training.seed}", p
            ),
        )
    write_table2(results)
    write_two_heads(results)
    print_results(rows, published("table2"))


@reproduce_app.command(cls=Command)
def table4(
    data: SignData,
    results: Results = Path("results"),
    scale: ScaleName = "cpu",
    splits: Annotated[
        int,
        typer.Option(metavar="N", help="How many of the ten random splits.", min=1, max=10),
    ] = 10,
    compile: Compile = None,
    keep_models: KeepModels = False,
) -> None:
    """Table 4: Table 2 on ten random splits, mean and standard deviation. --scale cpu takes two
    hours on 2 cores.

    **Examples**

        knowbound reproduce table4 --data data --splits 2

        knowbound reproduce table4 --data data --scale paper
    """
    from knowbound.paper.published import published
    from knowbound.paper.signs.scale import SHORT_CPU, choose_scale
    from knowbound.paper.signs.table4 import reproduce, write_table4

    with locked(results), training_bar() as bar:
        rows = reproduce(
            data,
            results,
            scale=choose_scale(scale, cpu=SHORT_CPU, compile=compile),
            splits=range(splits),
            keep_models=keep_models,
            on_step=lambda e, p: bar(f"{e.method} {e.variant}".rstrip() + f", {e.split.name}", p),
        )
    write_table4(results)
    print_results(rows, published("table4"))


@reproduce_app.command(cls=Command)
def figure2(data: SignData, results: Results = Path("results")) -> None:
    """Figure 2: one sign of each class of the restricted split. Half a minute.

    **Example**

        knowbound reproduce figure2 --data data
    """
    from knowbound.paper.signs.figure2 import write_figure2

    console().print(f"Picture: {write_figure2(data, results)}", markup=False)


@reproduce_app.command(cls=Command)
def figure3(
    data: SignData,
    results: Results = Path("results"),
    scale: ScaleName = "cpu",
    seed: Seed = 0,
    compile: Compile = None,
) -> None:
    """Figure 3: embeddings of ML and ODM on traffic signs, as a picture and as an interactive page.
    Takes the models that `table2 --keep-models` left in RESULTS/models; missing ones are trained.

    **Example**

        knowbound reproduce figure3 --data data
    """
    from knowbound.files import check_writable
    from knowbound.paper.signs.figure3 import figure3_evidence, write_figure3
    from knowbound.paper.signs.scale import choose_scale

    check_writable(results)
    with locked(results), training_bar() as bar:
        evidence = figure3_evidence(
            data,
            results,
            scale=choose_scale(scale, compile=compile),
            seed=seed,
            on_step=lambda e, p: bar(e.method, p),
        )
    picture, page = write_figure3(results, evidence)
    console().print(f"Picture: {picture}. Interactive: {page}", markup=False)
