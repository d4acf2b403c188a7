"""The commands on a finished model: what it is, and another acceptance."""

from pathlib import Path
from typing import Annotated

import typer

from knowbound.cli.console import console
from knowbound.cli.options import (
    Acceptance,
    AnyModel,
    Confidence,
    Model,
    NewModel,
    Overwrite,
    refuse_existing_model,
)
from knowbound.values import JsonObject


def show(
    model: AnyModel,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the facts as JSON, not as text.")
    ] = False,
) -> None:
    """Print a model's card: what it knows, what it learned from, what it promises, what was measured
    and how to cite it. The files are checked; torch is not needed.

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
    model: Model,
    acceptance: Acceptance,
    output: NewModel,
    confidence: Confidence = None,
    overwrite: Overwrite = False,
) -> None:
    """Set another acceptance from the held-out images that the model remembers. Nothing is trained
    again.

    **Example**

        knowbound adjust model --acceptance 0.98 -o careful
    """
    from knowbound.boundary import Boundary
    from knowbound.files.lock import locked

    if not overwrite:
        refuse_existing_model(output)
    boundary = Boundary.load(model).adjust(acceptance, confidence)
    with locked(output):
        boundary.save(output)
    promise = boundary.threshold.sentence(boundary.class_names)
    console().print(f"The promise: {promise}.\nModel: {output}", markup=False)
