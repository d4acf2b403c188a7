"""A model on disk: weights and centres as safetensors, everything else as readable JSON.

It knows no ``Boundary``, only a description and tensors.  Nothing in a file is ever executed.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from knowbound._version import __version__
from knowbound.boundary.old_formats import from_version_1
from knowbound.errors import UserError
from knowbound.files import replace_file

FORMAT = "knowbound-model"
FORMAT_VERSION = 2
READABLE = (1, 2)
"""Format versions this version reads."""
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


def write_model(
    folder: Path, description: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write ``model.safetensors`` and ``model.json`` into a folder, each replaced whole.

    Args:
        folder: made where it is missing.
        description: JSON values; the format, a checksum of the weights and one of itself are added.
        tensors: the weights by name.

    Raises:
        UserError: the folder cannot be written.
    """
    from safetensors.torch import save

    weights = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    whole = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **description,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    whole["description_sha256"] = _hash(whole)
    replace_file(folder / WEIGHTS, weights)
    text = json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    replace_file(folder / DESCRIPTION, text.encode())


def read_model(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The description and the tensors of a model, after their checksums were compared.

    A model of an older format is given as this version would have written it.

    Raises:
        UserError: a missing or damaged file, or an unknown format version.
    """
    from safetensors.torch import load

    description = _read_description(folder)
    try:
        weights = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise UserError(
            f"{folder / WEIGHTS} cannot be read ({error.strerror}); a model is the two files "
            f"{WEIGHTS} and {DESCRIPTION}"
        ) from error
    if hashlib.sha256(weights).hexdigest() != description["weights_sha256"]:
        raise UserError(
            f"{folder / WEIGHTS} is damaged or of another model: its checksum is not the one in "
            f"{DESCRIPTION}; copy both"
        )
    tensors = load(weights)
    if description["format_version"] == 1:
        return from_version_1(description, tensors)
    return description, tensors


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    if not folder.is_dir() or not path.is_file():
        raise UserError(
            f"there is no model in {folder} ({DESCRIPTION} is missing); expected a folder that "
            "`knowbound fit -o` wrote"
        )
    try:
        description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = (description["format"], description["format_version"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(
            f"{path} is not the description of a model: {error}; expected a file that `knowbound "
            "fit -o` wrote"
        ) from error
    if found[0] != FORMAT or found[1] not in READABLE:
        raise UserError(
            f"{path} has the format {found[0]} {found[1]}, written by knowbound "
            f"{description.get('knowbound')}; this is knowbound {__version__}, which reads "
            f"{FORMAT} {FORMAT_VERSION}: install the version that wrote it"
        )
    checksum = description.pop("description_sha256", None)
    if checksum != _hash(description):
        raise UserError(
            f"{path} was changed or damaged since it was written (its checksum differs); copy it "
            "again, or fit anew"
        )
    return description


def _hash(description: dict[str, Any]) -> str:
    return hashlib.sha256(
        json.dumps(description, sort_keys=True, ensure_ascii=False).encode()
    ).hexdigest()
