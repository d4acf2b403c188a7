"""The commands of a practitioner: each reads its arguments, calls one public function and prints
what it returned."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from knowbound.cli.console import (
    Compile,
    Overwrite,
    console,
    print_predictions,
    print_problems,
    print_results,
)
from knowbound.cli.progress import reading_bar, training_bar
from knowbound.errors import UserError
from knowbound.names import OBJECTIVES, BackboneName, ObjectiveName
from knowbound.values import JsonObject

if TYPE_CHECKING:
    from knowbound.data.preprocessing import Range
    from knowbound.workflows.kept_parts import KeptParts
    from knowbound.workflows.predict import Inputs


def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Where the models and the report go.")
    ] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Seed of everything random.", min=0)] = 0,
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


def fit(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Labelled images: DIR/class/... (any depth below), or a list: path,class per line.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="MODEL", help="Folder the model is written to."),
    ],
    outliers: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Images of none of the classes, unlabelled. May be given several times.",
        ),
    ] = None,
    novelties: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Images of other classes of the same kind of picture."),
    ] = None,
    anomalies: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Images of nothing like the classes."),
    ] = None,
    synthetic: Annotated[
        bool,
        typer.Option(
            "--synthetic/--no-synthetic",
            help="Show outliers made from the known images themselves, too.",
        ),
    ] = True,
    objective: Annotated[
        ObjectiveName | None,
        typer.Option(
            help="What the network is trained for. "
            + "; ".join(f"{name}: {meaning}" for name, meaning in OBJECTIVES.items()),
            show_default="odm with --outliers, else ml",
        ),
    ] = None,
    backbone: Annotated[
        BackboneName,
        typer.Option(
            help="The network; auto: lenet for small grey images, else what an audition shows to "
            "be best."
        ),
    ] = "auto",
    audition: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Of a usual training's steps, to try networks with under auto; 0: none is tried.",
        ),
    ] = 0.2,
    size: Annotated[
        int | None,
        typer.Option(
            help="Side in pixels of the images the network sees.",
            show_default="28, 32 or 160",
            min=16,
        ),
    ] = None,
    dim: Annotated[
        int | None, typer.Option(help="Length of the embedding.", show_default="32", min=1)
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="Distance that different classes are pushed apart to.")
    ] = 10.0,
    steps: Annotated[
        int | None,
        typer.Option(help="Training steps.", show_default="1500 for lenet, 1400 for wrn", min=1),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Largest learning rate.", show_default="0.002 for lenet, 0.004 for wrn"),
    ] = None,
    acceptance: Annotated[
        float, typer.Option(help="Share of known images the threshold accepts.")
    ] = 0.95,
    per_class: Annotated[
        bool,
        typer.Option("--per-class", help="Set a threshold for each class that has enough images."),
    ] = False,
    confidence: Annotated[
        float | None,
        typer.Option(
            help="Promise the acceptance with this confidence, such as 0.95.",
            show_default="on average",
        ),
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Accept fewer images where it takes that so that, with 95% confidence (or "
            "--confidence), at most this share of the accepted ones has the wrong class.",
            show_default="no such promise",
        ),
    ] = None,
    group_by: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            help="Which images belong together beside copies: auto, none, folder, name, or a "
            "regular expression on the file's name.",
        ),
    ] = "auto",
    value_range: Annotated[
        str,
        typer.Option(
            "--range",
            metavar="RANGE",
            help="Values that become black and white in pictures of more than 8 bits: full, auto "
            "(measured), or LOW,HIGH.",
        ),
    ] = "full",
    background: Annotated[
        Literal["white", "black", "auto"],
        typer.Option(help="What lies under transparent pixels; auto: by contrast."),
    ] = "white",
    aspect: Annotated[
        Literal["stretch", "crop", "pad"] | None,
        typer.Option(
            help="How a picture becomes square: resized whole, its middle, or padded.",
            show_default="crop for efficientnet, else stretch",
        ),
    ] = None,
    max_pixels: Annotated[
        int, typer.Option(help="The most pixels that a picture's header may announce.", min=1)
    ] = 100_000_000,
    memory: Annotated[
        float | None,
        typer.Option(
            metavar="GB",
            help="What reading and training may take.",
            show_default="four fifths of the machine's",
        ),
    ] = None,
    held_out: Annotated[
        float | None,
        typer.Option(
            help="Share of the images kept from training to set the threshold.",
            show_default="0.1, more of small sets",
        ),
    ] = None,
    precision: Annotated[
        Literal["auto", "float32", "bf16"],
        typer.Option(help="Of the training; auto: whichever the machine is fast with."),
    ] = "auto",
    judging: Annotated[
        Literal["float32", "bf16"],
        typer.Option(
            help="Number format the model judges in, kept with it; bf16: nearly twice as fast on "
            "processors that multiply it."
        ),
    ] = "float32",
    detector: Annotated[
        str | None,
        typer.Option(
            help="How images are scored.",
            show_default="nearest_centre; with many images centre_and_stages; max_softmax under ce",
        ),
    ] = None,
    compile: Compile = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.", min=0)] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a killed training stopped.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the model that is already there.")
    ] = False,
) -> None:
    """Train a model on a folder of labelled images.

    **Examples**

        knowbound fit signs/ -o model

        knowbound fit signs/ --outliers background/ --outliers other_signs/ -o model

        knowbound fit signs/ --outliers background/ -o model --resume

        torchrun --nproc-per-node 2 -m knowbound fit signs/ -o model
    """
    from knowbound.workflows.fit import run_plan
    from knowbound.workflows.plan import plan_fit
    from knowbound.workflows.settings import Settings

    if not _to_be_trained(output, resume=resume, overwrite=overwrite):
        console().print(f"{output} is finished already; nothing to resume.")
        return
    with reading_bar() as reading:
        settings = Settings(
            objective=objective,
            synthetic=synthetic,
            detector=detector,
            backbone=backbone,
            audition=audition,
            size=size,
            dim=dim,
            margin=margin,
            steps=steps,
            learning_rate=learning_rate,
            acceptance=acceptance,
            per_class=per_class,
            confidence=confidence,
            max_error=max_error,
            group_by=group_by,
            held_out=held_out,
            precision=precision,
            judging=judging,
            compile=compile,
            seed=seed,
            range=_range(value_range),
            background=background,
            fit=aspect,
            max_pixels=max_pixels,
            memory=None if memory is None else round(memory * 1e9),
        )
        plan = plan_fit(
            directory,
            outliers or (),
            settings,
            novelties=novelties or (),
            anomalies=anomalies or (),
            progress=reading,
            on_step=lambda step: reading(step.step, step.steps, f"Trying ({step.stage})"),
        )
    print_problems(plan.problems)
    shown = console()
    for line in plan.summary:
        shown.print(line, markup=False)
    with training_bar() as bar:
        try:
            fitted = run_plan(
                plan,
                output=output,
                resume=resume,
                on_step=lambda progress: bar(progress.stage, progress),
            )
        except KeyboardInterrupt:
            console(err=True).print(
                f"Stopped. The same command with --resume continues from {output}.", markup=False
            )
            raise typer.Exit(130) from None
    for line in fitted.summary:
        shown.print(line, markup=False)
    shown.print(f"Model: {output}", markup=False)


def _range(text: str) -> "Range":
    """``full``, ``auto``, or (low, high) from ``LOW,HIGH``."""
    if text == "full":
        return "full"
    if text == "auto":
        return "auto"
    low, _, high = text.partition(",")
    try:
        return float(low), float(high)
    except ValueError as error:
        raise UserError(
            f"--range {text} was given; expected full, auto, or two numbers such as 0,4095"
        ) from error


def _to_be_trained(output: Path, *, resume: bool, overwrite: bool) -> bool:
    """Whether there is something to do; False where a finished model was to be resumed.

    Raises UserError where a model, or a training that was cut off, would be lost.
    """
    from knowbound.workflows.fit import kept_state

    cut_off = bool(kept_state(output))
    if cut_off and not resume and not overwrite:
        raise UserError(
            f"there is a training in {output} that was cut off; continue it with --resume, or start "
            "again with --overwrite"
        )
    if (output / "model.json").exists() and not overwrite and not cut_off:
        if resume:
            return False
        raise UserError(
            f"there is a model in {output} already; choose another place, or replace it with "
            "--overwrite"
        )
    return True


def predict(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="Folder that `knowbound fit` wrote, or an exported .onnx file."
        ),
    ],
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Pictures, folders, lists (.csv, .txt, ...; - on standard input), zip and tar "
            "archives, WebDataset shards, Parquet files.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
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
        bool, typer.Option("--resume", help="Keep the parts that a killed run has finished.")
    ] = False,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray", help="Judge with Ray: on all cores of this machine, or on a cluster."
        ),
    ] = False,
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="The cluster, such as auto or ray://host:10001.",
            show_default="one on this machine, that ends with the run",
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
    """Say known, novelty or anomaly of every picture. A picture that cannot be read says why in its
    row and stops nothing.

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

    to_stdout = output == Path("-")
    in_parts = output is not None and not to_stdout
    address = ray_address or (LOCAL if ray else None)
    if (address or resume) and not in_parts:
        option = "--resume" if resume else "--ray"
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

    parts = output.with_name(f"{output.name}.parts")
    if options["resume"] and output.exists() and not parts.exists():
        console().print(f"{output} is finished already; nothing to resume.", markup=False)
        return
    judge = load_model(model)
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
        counted = kept.join(fdr=fdr, domain_threshold=judge.domain_threshold)
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


def export(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Folder that `knowbound fit` wrote.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="ONNX file to write.")
    ],
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Pictures to compare the two models on, beside generated images."
        ),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Keep the network's weights in one byte each, and measure on the pictures of "
            "--check what that costs.",
        ),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write a model as one ONNX file, which says the same without torch. It is refused where it
    would decide otherwise on any image; with `--int8`, on over 5% of the pictures.

    **Examples**

        knowbound export model -o model.onnx --check test/

        knowbound export model -o small.onnx --check test/ --int8
    """
    import numpy as np

    from knowbound.boundary import Boundary
    from knowbound.data.pictures.folder import read_folder
    from knowbound.product.onnx_export import export as export_boundary
    from knowbound.product.onnx_export import export_int8

    boundary = Boundary.load(model)
    if int8 and check is None:
        raise UserError("the cost of --int8 is measured on pictures; give some with --check")
    images, labels = None, []
    if check is not None:
        read = read_folder(check, boundary.preprocessing, classes=False)
        print_problems(read.problems)
        images = read.source.images(slice(None))
        label = {name: index for index, name in enumerate(boundary.class_names)}
        labels = [_label(Path(path), label) for path in read.paths]
    if int8 and images is not None:
        cost = export_int8(boundary, output, images, np.array(labels), overwrite=overwrite)
        right = f", {cost.right_int8:.2%} right (before: {cost.right:.2%})" if cost.right else ""
        console().print(
            f"{output}: {output.stat().st_size / 1e6:.1f} MB with weights of int8; of "
            f"{cost.images:,} pictures {cost.same:.2%} are answered as by {model}; "
            f"{cost.accepted_int8:.2%} accepted (before: {cost.accepted:.2%}){right}.",
            markup=False,
        )
        return
    compared = export_boundary(boundary, output, images=images, overwrite=overwrite)
    size = output.stat().st_size / 1e6
    console().print(
        f"{output}: {size:.1f} MB; the same decisions as {model} on {compared:,} images.",
        markup=False,
    )


def _label(path: Path, label: dict[str, int]) -> int:
    """The class of the nearest folder that is called as one; -1 where none is."""
    return next((label[p.name] for p in path.parents if p.name in label), -1)


def evaluate(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Folder that `knowbound fit` wrote.")
    ],
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
            metavar="NAME=DIR", help="Images of related classes nobody taught. May be repeated."
        ),
    ] = None,
    anomaly: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=DIR", help="Images of nothing like the classes. May be repeated."
        ),
    ] = None,
    detector: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Compare this detector on the same network; may be repeated; 'all': each it can "
            "have.",
        ),
    ] = None,
    fit_on: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The images the model was trained on, to fit the --detector on."
        ),
    ] = None,
    cost: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MISTAKE=COST",
            help="What a mistake costs, such as novelty-as-known=10; may be repeated, or separated "
            "by commas. Says which acceptance costs least.",
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
