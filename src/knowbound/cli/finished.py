"""The commands on a finished model: what it is, and another acceptance."""

from pathlib import Path
from typing import Annotated

import typer

from knowbound.cli.console import console
from knowbound.errors import UserError
from knowbound.values import JsonObject


def show(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="Folder that `knowbound fit` wrote, or an exported .onnx file."
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the facts as JSON, not as text.")
    ] = False,
) -> None:
    """Print a model's card: what it knows, learned from and promises, what was measured, how to
    cite it. Its files are checked; torch is not needed.

    **Example**

        knowbound show model
    """
    import json

    from knowbound.model_folder.card import card_facts, card_text

    facts = card_facts(_description(model))
    text = json.dumps(facts, indent=2, ensure_ascii=False) if as_json else card_text(facts).rstrip()
    console().print(text, markup=False)


def _description(model: Path) -> JsonObject:
    if model.suffix == ".onnx":
        from knowbound.product.onnx_model import read_about

        return read_about(model)
    from knowbound.model_folder.description import read_verified

    return read_verified(model)[0]


def adjust(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Folder that `knowbound fit` wrote.")
    ],
    acceptance: Annotated[
        float, typer.Option(help="Share of known images the threshold accepts from now on.")
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="MODEL", help="Folder the model is written to."),
    ],
    confidence: Annotated[
        float | None,
        typer.Option(
            help="Promise the acceptance with this confidence, such as 0.95.",
            show_default="on average",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the model that is already there.")
    ] = False,
) -> None:
    """Set another acceptance from the held-out images that the model remembers. Nothing is trained
    again.

    **Example**

        knowbound adjust model --acceptance 0.98 -o careful
    """
    from knowbound.boundary import Boundary
    from knowbound.files.lock import locked

    if (output / "model.json").exists() and not overwrite:
        raise UserError(
            f"there is a model in {output} already; choose another place, or replace it with "
            "--overwrite"
        )
    boundary = Boundary.load(model).adjust(acceptance, confidence)
    with locked(output):
        boundary.save(output)
    promise = boundary.threshold.sentence(boundary.class_names)
    console().print(f"The promise: {promise}.\nModel: {output}", markup=False)
