"""Arguments and options that several commands share, each explained in one place."""

from pathlib import Path
from typing import Annotated

import typer

from knowbound.errors import UserError

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder that `knowbound fit` wrote.")]
AnyModel = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help="Folder that `knowbound fit` wrote, or an exported .onnx file."
    ),
]
NewModel = Annotated[
    Path, typer.Option("-o", "--output", metavar="MODEL", help="Folder the model is written to.")
]
Seed = Annotated[int, typer.Option(help="Seed of everything random.", min=0)]
Confidence = Annotated[
    float | None,
    typer.Option(
        help="Promise the acceptance with this confidence, such as 0.95.",
        show_default="on average",
    ),
]
MaxPixels = Annotated[
    int,
    typer.Option(help="Pictures whose header announces more pixels than this are not read.", min=1),
]
Compile = Annotated[
    bool | None,
    typer.Option(
        "--compile/--no-compile",
        help="Train with torch.compile.",
        show_default="for long trainings on a GPU",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is already there.", show_default=False)
]


def refuse_existing_model(output: Path) -> None:
    """Check that no model would be replaced.

    Args:
        output: folder that a model is to be written to.

    Raises:
        UserError: there is one.
    """
    if (output / "model.json").exists():
        raise UserError(
            f"there is a model in {output} already; choose another place, or replace it with "
            "--overwrite"
        )
