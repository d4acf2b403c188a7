"""A model on disk, whichever way it was written: a folder, or one exported file."""

import hashlib
from pathlib import Path
from typing import Protocol

from knowbound.errors import UserError
from knowbound.files import sentence_for
from knowbound.model_folder.description import DESCRIPTION, check_there
from knowbound.workflows.predict import Judge


class Model(Judge, Protocol):
    """What judges images, and knows its classes."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the classes 0..C-1."""


def load_model(path: Path) -> Model:
    """The model in a folder that ``fit`` wrote, or in a file that ``export`` wrote.

    torch is imported for a folder alone.

    Args:
        path: of the folder, or of the file, which ends in ``.onnx``.

    Raises:
        UserError: it is missing, was changed, or is of another format, or a folder without torch.
    """
    if path.suffix == ".onnx":
        from knowbound.product.onnx_model import ExportedModel

        return ExportedModel.load(path)
    check_there(path)
    try:
        from knowbound.boundary import Boundary
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UserError(
            f"{path} is the folder of a model, which needs torch; pip install 'knowbound[train]', "
            "or give the .onnx file that `knowbound export` wrote of it"
        ) from error
    return Boundary.load(path)


def index_of(path: Path) -> Path:
    """The one file that changes whenever the model at ``path`` does."""
    return path if path.suffix == ".onnx" else path / DESCRIPTION


def fingerprint(path: Path) -> str:
    """The first 12 digits of the SHA-256 of the file that tells models at this place apart.

    Args:
        path: of a model.

    Raises:
        UserError: it cannot be read.
    """
    index = index_of(path)
    if path.suffix != ".onnx":
        check_there(path)
    try:
        return hashlib.sha256(index.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise UserError(sentence_for(error, index, "read")) from error
