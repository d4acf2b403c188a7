"""Arguments and options that several commands share, each explained in one place."""

from pathlib import Path
from typing import Annotated

import typer

from knowbound.errors import UserError

FOLDER = "Folder that `knowbound fit` wrote"
SEVERAL = "May be repeated."
Model = Annotated[Path, typer.Argument(metavar="MODEL", help=f"{FOLDER}.")]
AnyModel = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help=f"{FOLDER}, or file that `knowbound export` wrote (.onnx)."
    ),
]


def _folder(text: str) -> Path:
    if not text.strip():
        raise UserError("an empty name was given for -o; expected a folder")
    return Path(text)


NewModel = Annotated[
    Path,
    typer.Option(
        "-o",
        "--output",
        metavar="MODEL",
        help="Folder to write the model to.",
        parser=_folder,
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of everything random.", min=0)]
Acceptance = Annotated[
    float, typer.Option(metavar="SHARE", help="Share of new known images to accept.")
]
Confidence = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Keep the promised acceptance with this confidence, such as 0.95.",
        show_default="kept on average",
    ),
]
MaxPixels = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Pictures whose header announces more pixels than this are not read.",
        min=1,
    ),
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
    bool, typer.Option("--overwrite", help="Replace what is there already.", show_default=False)
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
