"""The command that writes a model as one ONNX file."""

from pathlib import Path
from typing import Annotated

import typer

from knowbound.cli.console import console, print_problems
from knowbound.cli.options import Model, Overwrite
from knowbound.errors import UserError


def export(
    model: Model,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="ONNX file to write.")
    ],
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Pictures on which folder and file are compared, besides generated images.",
        ),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Keep each of the network's weights in one byte, and measure what that costs on "
            "the pictures of --check.",
        ),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write a model as one ONNX file, which gives the same answers without torch. The file is
    refused if any decision differs; with `--int8`, if over 5% do.

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
        labels = [_label(Path(path), check, label) for path in read.paths]
    if int8 and images is not None:
        cost = export_int8(boundary, output, images, np.array(labels), overwrite=overwrite)
        right = (
            f", {cost.right_int8:.2%} right (before: {cost.right:.2%})"
            if cost.right is not None
            else ""
        )
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


def _label(path: Path, check: Path, label: dict[str, int]) -> int:
    """The class of the nearest folder below ``check`` that is called as one; -1 where none is."""
    below = path.relative_to(check) if path.is_relative_to(check) else Path(*path.parts[-2:])
    return next((label[p.name] for p in below.parents if p.name in label), -1)
