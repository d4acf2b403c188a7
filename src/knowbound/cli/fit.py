"""The command that makes a model from a folder of labelled images."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from knowbound.cli.console import console, print_problems
from knowbound.cli.interruption import stopped_between_steps
from knowbound.cli.options import (
    SEVERAL,
    Acceptance,
    Compile,
    Confidence,
    MaxPixels,
    NewModel,
    Overwrite,
    Seed,
    refuse_existing_model,
)
from knowbound.cli.progress import reading_bar, training_bar
from knowbound.errors import UserError
from knowbound.files import check_writable
from knowbound.names import BACKBONES, DETECTORS, OBJECTIVES, ObjectiveName

if TYPE_CHECKING:
    from knowbound.data.preprocessing import Range
    from knowbound.training.loop import Progress

OUTLIERS, PROMISE, PICTURES = "Outliers", "The promise", "Pictures"
NETWORK, MACHINE = "Network and training", "Machine"
"""Headings in the help."""


def _named(what: str, meanings: Mapping[str, str]) -> str:
    """Names with their meanings, as a list in the help."""
    return "\n".join((what, *(f"- {name}: {meaning}" for name, meaning in meanings.items())))


def fit(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Labelled images: DIR/class/... (any depth below), or a list: path,class per line.",
        ),
    ],
    output: NewModel,
    outliers: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help=f"Outliers: images of none of the classes, unlabelled. {SEVERAL}",
            rich_help_panel=OUTLIERS,
        ),
    ] = None,
    novelties: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help=f"Outliers of one kind: other classes, the same sort of picture. {SEVERAL}",
            rich_help_panel=OUTLIERS,
        ),
    ] = None,
    anomalies: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help=f"Outliers of the other kind: nothing like the classes. {SEVERAL}",
            rich_help_panel=OUTLIERS,
        ),
    ] = None,
    synthetic: Annotated[
        bool,
        typer.Option(
            "--synthetic/--no-synthetic",
            help="Also learn from outliers that are made from the known images themselves.",
            rich_help_panel=OUTLIERS,
        ),
    ] = True,
    objective: Annotated[
        ObjectiveName | None,
        typer.Option(
            metavar="NAME",
            help=_named("What the network is trained for.", OBJECTIVES),
            show_default="contrastive loss with the outliers made of the images and those given",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    backbone: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help=_named("The network.", BACKBONES)
            + "\n- a folder, or a name on the hub such as facebook/dinov2-small: that vision network "
            "of transformers, frozen; knowbound[transformers]",
            rich_help_panel=NETWORK,
        ),
    ] = "auto",
    audition: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Share of a usual training's steps that --backbone auto may spend on trying "
            "networks; 0: it tries none.",
            rich_help_panel=NETWORK,
        ),
    ] = 0.2,
    fine_tune: Annotated[
        Literal["last", "all"] | None,
        typer.Option(
            help="Fine-tune the last layers, or all, of a network with ImageNet weights; it takes "
            "efficientnet-lite0 where no other is named.",
            show_default="it stays frozen",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            help="Side of the images that the network sees.",
            show_default="28 for lenet, 32 for wrn, 160 to 260 for efficientnet",
            min=16,
            rich_help_panel=PICTURES,
        ),
    ] = None,
    dim: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Length of the embedding.",
            show_default="32",
            min=1,
            rich_help_panel=NETWORK,
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            metavar="DISTANCE",
            help="Distance that different classes are pushed apart to, in the loss's own unit.",
            show_default="10 for odm, ml and two_heads, else the loss's own",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    networks: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Networks that are trained, from other seeds, and judge together; each takes the "
            "time of one.",
            rich_help_panel=NETWORK,
        ),
    ] = 1,
    steps: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Training steps.",
            show_default="1500 for lenet, 1400 for wrn",
            min=1,
            rich_help_panel=NETWORK,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Largest learning rate.",
            show_default="0.002 for lenet, 0.004 for wrn",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    acceptance: Acceptance = 0.95,
    per_class: Annotated[
        bool,
        typer.Option(
            "--per-class",
            help="Set a threshold for each class that has enough images.",
            rich_help_panel=PROMISE,
        ),
    ] = False,
    confidence: Confidence = None,
    max_error: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Accept fewer images where needed, so that at most this share of the accepted "
            "ones has the wrong class, with 95% confidence (or --confidence).",
            show_default="no such promise",
            rich_help_panel=PROMISE,
        ),
    ] = None,
    group_by: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            help="Which images belong together, besides copies: auto, none, folder, name, or a "
            "regular expression on the file's name.",
            rich_help_panel=PROMISE,
        ),
    ] = "auto",
    value_range: Annotated[
        str,
        typer.Option(
            "--range",
            metavar="RANGE",
            help="Values that become black and white in pictures of more than 8 bits: full, auto "
            "(measured), or LOW,HIGH.",
            rich_help_panel=PICTURES,
        ),
    ] = "full",
    background: Annotated[
        Literal["white", "black", "auto"],
        typer.Option(
            help="What lies under transparent pixels; auto: by contrast.", rich_help_panel=PICTURES
        ),
    ] = "white",
    aspect: Annotated[
        Literal["stretch", "crop", "pad"] | None,
        typer.Option(
            help="How a picture becomes square: resized whole, its middle, or padded.",
            show_default="crop for efficientnet, else stretch",
            rich_help_panel=PICTURES,
        ),
    ] = None,
    max_pixels: MaxPixels = 100_000_000,
    memory: Annotated[
        float | None,
        typer.Option(
            metavar="GB",
            help="The most memory that reading and training may take.",
            show_default="four fifths of the machine's",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    held_out: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of the images that is kept out of the training and sets the threshold.",
            show_default="0.1, more of small sets",
            rich_help_panel=PROMISE,
        ),
    ] = None,
    precision: Annotated[
        Literal["auto", "float32", "bf16"],
        typer.Option(
            help="Number format of the training; auto: the one this machine is fast with.",
            rich_help_panel=MACHINE,
        ),
    ] = "auto",
    judging: Annotated[
        Literal["float32", "bf16"],
        typer.Option(
            help="Number format that the model judges in, on every machine; bf16: nearly twice as "
            "fast on processors that multiply it, slower on others.",
            rich_help_panel=MACHINE,
        ),
    ] = "float32",
    detector: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=_named("How images are scored.", DETECTORS),
            show_default="nearest_centre or centre_and_stages, by held-out images; max_softmax under "
            "ce",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    compile: Compile = None,
    seed: Seed = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a training that was stopped.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a model on a folder of labelled images.

    **Examples**

        knowbound fit signs/ -o model

        knowbound fit signs/ --outliers background/ --outliers other_signs/ -o model

        knowbound fit signs/ --outliers background/ -o model --resume

        torchrun --nproc-per-node 2 -m knowbound fit signs/ -o model
    """
    from knowbound.workflows.fit import kept_state, run_plan
    from knowbound.workflows.plan import plan_fit
    from knowbound.workflows.settings import Settings

    if not _to_be_trained(output, resume=resume, overwrite=overwrite):
        console().print(f"{output} is finished already; nothing to resume.", markup=False)
        return
    check_writable(output)
    with reading_bar() as reading:
        settings = Settings(
            objective=objective,
            synthetic=synthetic,
            detector=detector,
            backbone=backbone,
            audition=audition,
            fine_tune=fine_tune,
            size=size,
            dim=dim,
            margin=margin,
            networks=networks,
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
            memory=None if memory is None else _bytes(memory),
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
    with training_bar() as bar, stopped_between_steps() as after_step:

        def on_step(progress: "Progress") -> None:
            bar(progress.stage, progress)
            after_step(progress)

        try:
            fitted = run_plan(plan, output=output, resume=resume, on_step=on_step)
        except KeyboardInterrupt:
            kept = kept_state(output)
            continues = f"The same command with --resume continues from {output}."
            said = continues if kept else "Nothing was kept yet; the same command starts again."
            console(err=True).print(f"Stopped. {said}", markup=False)
            raise typer.Exit(130) from None
    for line in fitted.summary:
        shown.print(line, markup=False)
    shown.print(f"Model: {output}", markup=False)


def _bytes(gigabytes: float) -> int:
    if not 0 < gigabytes < math.inf:
        raise UserError(
            f"a memory of {gigabytes:g} GB was asked for; expected a number above 0, such as 8"
        )
    return round(gigabytes * 1e9)


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
    if overwrite or cut_off:
        return True
    if resume and (output / "model.json").exists():
        return False
    refuse_existing_model(output)
    return True
