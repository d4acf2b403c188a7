"""The command line: each command reads its arguments, calls one public function and prints what it returned."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from knowbound.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from knowbound.data.folder import Problem
    from knowbound.training import Progress

app = typer.Typer(
    name="knowbound",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Image classifiers that know where their knowledge ends: **known** (and which class), **novelty** or **anomaly**.",
    epilog="Start with `knowbound demo`. Every command explains itself with examples: `knowbound fit --help`.",
)
reproduce_app = typer.Typer(no_args_is_help=True, help="Make the paper's tables and figures again, on the real data.")
app.add_typer(reproduce_app, name="reproduce")

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the model that is already there.")]


def main() -> None:
    """Entry point: a user's mistake is one sentence on stderr and exit code 2, never a traceback."""
    try:
        app()
    except UserError as error:
        _fail(str(error))
    except MemoryError:
        _fail("there is not enough memory for this; choose a smaller --size, or close other programs")
    except Exception as error:
        if type(error).__name__ == "TrainingStoppedError":  # not imported here: --help must not load torch
            _fail(str(error))
        raise
    finally:
        if "torch" in sys.modules:  # --help must not load it
            from knowbound.processes import leave_processes

            leave_processes()


def _fail(message: str) -> None:
    place = f" in process {_process()}" if _process() else ""
    typer.secho(f"Error{place}: {message}", fg="red", err=True)
    sys.exit(2)


def _process() -> int:
    """Which of the processes that torchrun started this is; the first, or only one, alone prints and writes."""
    return int(os.environ.get("RANK", "0")) if "LOCAL_RANK" in os.environ else 0


@app.callback()
def _check_processes(context: typer.Context) -> None:
    several = "LOCAL_RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"
    if several and context.invoked_subcommand != "fit":
        raise UserError(
            f"`knowbound {context.invoked_subcommand}` was started in {os.environ['WORLD_SIZE']} processes, but only fit trains "
            "in several; start it once (predict takes --workers)"
        )


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Where the models and the report go.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
) -> None:
    """Train CE, ML and ODM on bundled handwritten digits and write a report. About a minute, nothing to download.

    **Example**

        knowbound demo
    """
    from knowbound.demo import run_demo
    from knowbound.report import terminal_table

    with _training_bar() as bar:
        evidence = run_demo(output, seed=seed, on_step=lambda method, progress: bar(method, progress))
    _console().print(terminal_table([row for one in evidence for row in one.results]))
    _console().print(
        f"Report: [bold]{output / 'report.html'}[/bold]. Models: {', '.join(str(output / m) for m in ('ce', 'ml', 'odm'))}"
    )


Compile = Annotated[
    bool | None,
    typer.Option(
        "--compile/--no-compile",
        help="Train with torch.compile.",
        show_default="if a few timed steps of a long training gain from it",
    ),
]


@app.command()
def fit(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Labelled images: DIR/class/... (any depth below), or a list: path,class per line."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="MODEL", help="Folder the model is written to.")],
    outliers: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Images of none of the classes, unlabelled. May be given several times."),
    ] = None,
    objective: Annotated[
        Literal["odm", "ml", "ce", "confidence", "oe"] | None,
        typer.Option(
            help="With outliers: odm, confidence (confidence loss) or oe (outlier exposure). Without: ml or ce (cross-entropy).",
            show_default="odm with --outliers, else ml",
        ),
    ] = None,
    backbone: Annotated[
        Literal["auto", "lenet", "wrn-16-2", "wrn-28-10"],
        typer.Option(help="The network; auto: lenet for grey images, wrn-16-2 for colour."),
    ] = "auto",
    size: Annotated[
        int | None, typer.Option(help="Side in pixels of the images the network sees.", show_default="28 or 32", min=16)
    ] = None,
    dim: Annotated[int | None, typer.Option(help="Length of the embedding.", show_default="32", min=1)] = None,
    margin: Annotated[float, typer.Option(help="Distance that different classes are pushed apart to.")] = 10.0,
    steps: Annotated[int | None, typer.Option(help="Training steps.", show_default="1500 for lenet, 2000 for wrn", min=1)] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Largest learning rate.", show_default="0.002")] = None,
    acceptance: Annotated[float, typer.Option(help="Share of known images the threshold accepts.")] = 0.95,
    held_out: Annotated[
        float | None,
        typer.Option(help="Share of the images kept from training to set the threshold.", show_default="0.1, more of small sets"),
    ] = None,
    precision: Annotated[
        Literal["auto", "float32", "bf16"], typer.Option(help="Of the arithmetic; auto: whichever the machine is fast with.")
    ] = "auto",
    detector: Annotated[
        str | None, typer.Option(help="How images are scored.", show_default="nearest_centre; max_softmax under ce")
    ] = None,
    compile: Compile = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a killed training stopped.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a model on a folder of labelled images.

    **Examples**

        knowbound fit signs/ -o model

        knowbound fit signs/ --outliers background/ --outliers other_signs/ -o model

        knowbound fit signs/ --outliers background/ -o model --resume

        torchrun --nproc-per-node 2 -m knowbound fit signs/ -o model
    """
    from knowbound.fitting import CHECKPOINT, carry_out, plan_fit

    if (output / "model.json").exists() and not overwrite:
        if resume and not (output / CHECKPOINT).exists():
            _console().print(f"{output} is finished already; nothing to resume.")
            return
        raise UserError(f"there is a model in {output} already; choose another place, or replace it with --overwrite")
    with _reading_bar() as reading:
        plan = plan_fit(
            directory, outliers or (), objective=objective, detector=detector, backbone=backbone, size=size, dim=dim, margin=margin,
            steps=steps, learning_rate=learning_rate, acceptance=acceptance, held_out=held_out, precision=precision,
            compile=compile, seed=seed, progress=reading,
        )  # fmt: skip
    _print_problems(plan.problems)
    console = _console()
    source = plan.known.source
    outliers_read = sum(len(read.source) for read in plan.outliers)
    console.print(f"{len(source)} images of {len(source.class_names)} classes, {outliers_read} outliers.")
    console.print(f"Chosen: {'; '.join(plan.chosen)}.")
    with _training_bar() as bar:
        fitted = carry_out(plan, output=output, resume=resume, on_step=lambda progress: bar("training", progress))
    threshold = float(fitted.boundary.threshold)
    console.print(
        f"Known means a score of at most {threshold:.4g}: {acceptance:.0%} of {len(fitted.held_out)} held-out images. "
        f"Trained in {fitted.trained.seconds:.0f} s. Model: [bold]{output}[/bold]"
    )


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder that `knowbound fit` wrote.")],
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Pictures, or folders of pictures.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Table to write: .csv, .jsonl or .parquet.", show_default="a table on the terminal"),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that share the work; worth it for thousands of pictures.", min=1)] = 1,
) -> None:
    """Say known, novelty or anomaly of every picture. A picture that cannot be read says why in its row and stops nothing.

    **Examples**

        knowbound predict model new.jpg

        knowbound predict model incoming/ -o verdicts.csv --workers 8
    """
    from knowbound.boundary import Boundary
    from knowbound.prediction import count_verdicts, find_inputs, predict_files, prediction_writer
    from knowbound.product.sharding import predict_sharded

    paths = find_inputs(inputs)
    judged = predict_files(Boundary.load(model), paths) if workers == 1 else predict_sharded(model, paths, workers)
    rows = []
    if output is None:
        rows = list(judged)
        _print_predictions(rows)
    else:
        with prediction_writer(output) as write, _reading_bar("Judging") as bar:
            for done, row in enumerate(judged, 1):
                write(row)
                rows.append(row)
                bar(done, len(paths))
    counts = count_verdicts(rows)
    summary = f"{counts['known']} known, {counts['novelty']} novelties, {counts['anomaly']} anomalies"
    unreadable = f", {counts['error']} that could not be read" if counts["error"] else ""
    _console(err=output is None).print(f"{len(rows)} files: {summary}{unreadable}." + (f" Table: {output}" if output else ""))


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder that `knowbound fit` wrote.")],
    known: Annotated[Path, typer.Option(metavar="DIR", help="Test images of the known classes: DIR/class/...")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where rows.jsonl and report.html go.")],
    novelty: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=DIR", help="Images of related classes nobody taught. May be repeated."),
    ] = None,
    anomaly: Annotated[
        list[str] | None, typer.Option(metavar="NAME=DIR", help="Images of nothing like the classes. May be repeated.")
    ] = None,
    detector: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Compare this detector on the same network; may be repeated; 'all' for every one."),
    ] = None,
    fit_on: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The images the model was trained on, to fit the --detector on.")
    ] = None,
) -> None:
    """Measure a model on images whose truth you know, and write a report.

    **Examples**

        knowbound evaluate model --known test/ --novelty signs=new_signs/ --anomaly road=background/ -o report

        knowbound evaluate model --known test/ --novelty signs=new_signs/ --detector all --fit-on signs/ -o report
    """
    from knowbound.boundary import Boundary
    from knowbound.evaluation import evaluate as evaluate_folders
    from knowbound.report import terminal_table

    with _reading_bar() as reading:
        evaluation = evaluate_folders(
            Boundary.load(model), known, novelty=_named(novelty, "--novelty"), anomaly=_named(anomaly, "--anomaly"),
            detectors=detector or (), fit_on=fit_on, output=output, progress=reading,
        )  # fmt: skip
    _print_problems(evaluation.problems)
    _console().print(terminal_table([row for one in (evaluation.evidence, *evaluation.others) for row in one.results]))
    _console().print(f"Report: [bold]{output / 'report.html'}[/bold]")


Data = Annotated[Path, typer.Option(metavar="DIR", help="Folder that holds mnist/, svhn/ and cifar10/.")]
Results = Annotated[Path, typer.Option(metavar="DIR", help="Where the rows and the pictures go.")]
Download = Annotated[bool, typer.Option("--download", help="Fetch missing official files.")]
SignData = Annotated[Path, typer.Option(metavar="DIR", help="Folder that holds tt100k/ and background/.")]
ScaleName = Annotated[
    Literal["cpu", "paper"], typer.Option(help="cpu: WRN-16-2 for 2 cores; paper: WRN-28-10 for 10,000 steps, for a GPU.")
]
KeepModels = Annotated[bool, typer.Option("--keep-models", help="Keep every trained model in RESULTS/models.")]


@reproduce_app.command()
def table3(
    data: Data,
    results: Results = Path("results"),
    seeds: Annotated[int, typer.Option(help="How many seeds.", min=1)] = 3,
    download: Download = False,
) -> None:
    """Table 3: MNIST 2, 6, 7 against novelties, noise, SVHN and CIFAR-10. About ten minutes on 2 cores for three seeds.

    **Example**

        knowbound reproduce table3 --data data --download
    """
    from knowbound.paper.published import published
    from knowbound.paper.table3 import reproduce, write_table3
    from knowbound.report import terminal_table

    with _training_bar() as bar:
        rows = reproduce(
            data,
            results,
            seeds=range(seeds),
            download=download,
            on_step=lambda e, p: bar(f"{e.method}, seed {e.training.seed}", p),
        )
    write_table3(results)
    _console().print(terminal_table(rows, published("table3")))


@reproduce_app.command()
def figure1(data: Data, results: Results = Path("results"), seed: int = 0, download: Download = False) -> None:
    """Figure 1: the 3-dimensional embeddings of CE, ML and ODM, as a picture and as an interactive page.

    **Example**

        knowbound reproduce figure1 --data data
    """
    from knowbound.paper.table3 import figure1_evidence
    from knowbound.report import embedding_figure, figure_page

    title = "Figure 1: embeddings of CE, ML and ODM trained on 2, 6, 7 of MNIST"
    with _training_bar() as bar:
        evidence = figure1_evidence(data, seed=seed, download=download, on_step=lambda e, p: bar(e.method, p))
    embedding_figure(results / "figure1.png", evidence, title=title)
    figure_page(results / "figure1.html", evidence, title)
    _console().print(f"Picture: {results / 'figure1.png'}. Interactive: {results / 'figure1.html'}")


@reproduce_app.command()
def table1(
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder that holds svhn/, cifar10/, tinyimagenet/ and lsun/ or scenes_colour/.")
    ],
    results: Results = Path("results"),
    scale: Annotated[
        Literal["quick", "cpu", "paper"],
        typer.Option(help="quick: a subset in minutes; cpu: all images in about two hours on 2 cores; paper: for a GPU."),
    ] = "cpu",
    seed: int = 0,
    download: Download = False,
) -> None:
    """Table 1: SVHN and CIFAR-10 against each other, Tiny ImageNet, LSUN and noise, with every method compared.

    **Examples**

        knowbound reproduce table1 --data data --scale quick

        knowbound reproduce table1 --data data --scale paper --download
    """
    from knowbound.paper.published import published
    from knowbound.paper.table1 import choose_scale, reproduce
    from knowbound.paper.table1_page import write_table1
    from knowbound.report import terminal_table

    with _training_bar() as bar:
        rows = reproduce(
            data,
            results,
            scale=choose_scale(scale),
            seed=seed,
            download=download,
            on_step=lambda e, p: bar(f"{e.method} {e.variant}".rstrip() + f", {e.split.train.name}", p),
        )
    page = write_table1(results)
    _console().print(terminal_table([row for row in rows if row.scale == scale], published("table1")))
    _console().print(f"The same in both conventions beside the paper's numbers: [bold]{page}[/bold]")


@reproduce_app.command()
def table2(
    data: SignData,
    results: Results = Path("results"),
    scale: ScaleName = "cpu",
    seeds: Annotated[int, typer.Option(help="How many seeds.", min=1)] = 1,
    compile: Compile = None,
    keep_models: KeepModels = False,
) -> None:
    """Table 2: traffic signs, ODIN, ML and ODM on the restricted split. --scale cpu takes 12 to 30 minutes on 2 cores.

    **Examples**

        knowbound reproduce table2 --data data --keep-models

        knowbound reproduce table2 --data data --scale paper
    """
    from knowbound.paper.published import published
    from knowbound.paper.table2 import reproduce, write_table2
    from knowbound.paper.tsinghua_scale import choose_scale
    from knowbound.report import terminal_table

    with _training_bar() as bar:
        rows = reproduce(
            data,
            results,
            scale=choose_scale(scale, compile=compile),
            seeds=range(seeds),
            keep_models=keep_models,
            on_step=lambda e, p: bar(f"{e.method} {e.variant}".rstrip() + f", seed {e.training.seed}", p),
        )
    write_table2(results)
    _console().print(terminal_table(rows, published("table2")))


@reproduce_app.command()
def table4(
    data: SignData,
    results: Results = Path("results"),
    scale: ScaleName = "cpu",
    splits: Annotated[int, typer.Option(help="How many of the ten random splits.", min=1, max=10)] = 10,
    compile: Compile = None,
    keep_models: KeepModels = False,
) -> None:
    """Table 4: Table 2 on ten random splits, mean and standard deviation. --scale cpu takes two hours on 2 cores.

    **Examples**

        knowbound reproduce table4 --data data --splits 2

        knowbound reproduce table4 --data data --scale paper
    """
    from knowbound.paper.published import published
    from knowbound.paper.table4 import reproduce, write_table4
    from knowbound.paper.tsinghua_scale import choose_scale
    from knowbound.report import terminal_table

    with _training_bar() as bar:
        rows = reproduce(
            data,
            results,
            scale=choose_scale(scale, compile=compile),
            splits=range(splits),
            keep_models=keep_models,
            on_step=lambda e, p: bar(f"{e.method} {e.variant}".rstrip() + f", {e.split.name}", p),
        )
    write_table4(results)
    _console().print(terminal_table(rows, published("table4")))


@reproduce_app.command()
def figure2(data: SignData, results: Results = Path("results")) -> None:
    """Figure 2: one sign of each class of the restricted split. Half a minute.

    **Example**

        knowbound reproduce figure2 --data data
    """
    from knowbound.paper.figure2 import write_figure2

    _console().print(f"Picture: {write_figure2(data, results)}")


@reproduce_app.command()
def figure3(
    data: SignData, results: Results = Path("results"), scale: ScaleName = "cpu", seed: int = 0, compile: Compile = None
) -> None:
    """Figure 3: embeddings of ML and ODM on traffic signs, as a picture and as an interactive page.

    Takes the models that `table2 --keep-models` left in RESULTS/models, and trains them where there are none.

    **Example**

        knowbound reproduce figure3 --data data
    """
    from knowbound.paper.figure3 import figure3_evidence, write_figure3
    from knowbound.paper.tsinghua_scale import choose_scale

    with _training_bar() as bar:
        evidence = figure3_evidence(
            data, results, scale=choose_scale(scale, compile=compile), seed=seed, on_step=lambda e, p: bar(e.method, p)
        )
    picture, page = write_figure3(results, evidence)
    _console().print(f"Picture: {picture}. Interactive: {page}")


def _named(pairs: list[str] | None, option: str) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for pair in pairs or ():
        name, equals, folder = pair.partition("=")
        if not equals or not name or not folder:
            raise UserError(f"{option} {pair} was given; expected NAME=DIR, such as {option} signs=new_signs/")
        if name in named:
            raise UserError(f"{option} gives the name {name!r} twice; give every folder a name of its own")
        named[name] = Path(folder)
    return named


def _console(*, err: bool = False) -> Any:
    from rich.console import Console

    return Console(stderr=err, highlight=False, soft_wrap=True, quiet=_process() > 0)


@contextmanager
def _reading_bar(words: str = "Reading") -> "Iterator[Callable[[int, int], None]]":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=_console(err=True),
        transient=True,
    ) as bar:
        task = bar.add_task(words, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def _training_bar() -> "Iterator[Callable[[str, Progress], None]]":
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
    with Bar(*columns, console=_console(err=True)) as bar:
        tasks: dict[str, Any] = {}

        def show(name: str, progress: "Progress") -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=progress.steps, numbers="")
            numbers = f"loss {progress.loss:.3f}, {progress.images_per_second:,.0f} images/s"
            bar.update(tasks[name], completed=progress.step, numbers=numbers)

        yield show


def _print_problems(problems: "tuple[Problem, ...]") -> None:
    console = _console(err=True)
    for problem in problems:
        console.print(f"{'note' if problem.used else 'left out'}: {problem.path}: {problem.reason}", markup=False)


def _print_predictions(rows: list[Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("file", "verdict", "class", "nearest class", "score", "threshold", "note")
    for row in rows:
        numbers = [f"{value:.4g}" if value is not None else "" for value in (row.score, row.threshold)]
        cells = (
            row.path,
            row.verdict or "error",
            row.class_name or "",
            row.nearest_class or "",
            *numbers,
            row.error or row.remark,
        )
        table.add_row(*(Text(cell) for cell in cells))
    _console().print(table)
