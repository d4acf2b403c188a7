"""A model on disk: weights and centres as safetensors, everything else as readable JSON.

It knows no ``Boundary``, only a description and tensors.  Nothing in a file is ever executed.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from knowbound._version import __version__
from knowbound.boundary.old_formats import from_version_1
from knowbound.errors import UserError
from knowbound.file_set import read_files, replace_files

FORMAT = "knowbound-model"
FORMAT_VERSION = 2
READABLE = (1, 2)
"""Format versions this version reads."""
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


def write_model(
    folder: Path, description: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Put a model into a folder in one step: ``model.json``, and the weights under a name that
    carries their hash.  A reader sees the old model or the new one, never a mix.

    Args:
        folder: made where it is missing.
        description: JSON values; the format, the name and the checksum of the weights, and a
            checksum of the description itself are added.
        tensors: the weights by name.

    Raises:
        UserError: the folder cannot be written.
    """
    from safetensors.torch import save

    weights = save({name: tensor.contiguous() for name, tensor in tensors.items()})

    def describe(stored: Mapping[str, str]) -> bytes:
        whole = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            **description,
            "weights": stored[WEIGHTS],
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
        }
        whole["description_sha256"] = _hash(whole)
        return (json.dumps(whole, indent=2, ensure_ascii=False) + "\n").encode()

    replace_files(folder, DESCRIPTION, {WEIGHTS: weights}, describe)


def read_model(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The description and the tensors of a model, after their checksums were compared.

    A model of an older format is given as this version would have written it.

    Raises:
        UserError: a missing or damaged file, or an unknown format version.
    """
    from safetensors.torch import load

    path = folder / DESCRIPTION
    if not path.is_file():
        raise UserError(
            f"there is no model in {folder} ({DESCRIPTION} is missing); expected a folder that "
            "`knowbound fit -o` wrote"
        )
    try:
        content, parts = read_files(folder, DESCRIPTION, lambda text: [weights_of(path, text)])
    except OSError as error:
        raise UserError(
            f"{error.filename or folder} cannot be read ({(error.strerror or '').lower()}); a "
            f"model is {DESCRIPTION} and the file of weights that it names: copy both"
        ) from error
    description = _described(path, content)
    (weights,) = parts.values()
    if hashlib.sha256(weights).hexdigest() != description["weights_sha256"]:
        raise UserError(
            f"{folder / next(iter(parts))} is damaged or of another model: its checksum is not the "
            f"one in {DESCRIPTION}; copy both"
        )
    tensors = load(weights)
    if description["format_version"] == 1:
        return from_version_1(description, tensors)
    return description, tensors


def weights_of(path: Path, content: bytes) -> str:
    """The name of the file of weights that a description names, after its checksum was compared.

    Args:
        path: of the description, for the error.
        content: of the description.

    Raises:
        UserError: it is no description, was changed, or names a file elsewhere.
    """
    name = str(_described(path, content).get("weights", WEIGHTS))
    if not re.fullmatch(r"model(-[0-9a-f]+)?\.safetensors", name):
        raise UserError(f"{path} names {name!r} as its weights; expected a file of its own folder")
    return name


def _described(path: Path, content: bytes) -> dict[str, Any]:
    """The description without its own checksum.

    Raises:
        UserError: it is no description, of an unknown format version, or was changed.
    """
    try:
        description: dict[str, Any] = json.loads(content)
        found = (description["format"], description["format_version"])
    except (ValueError, KeyError, TypeError) as error:
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
            "again, or fit again"
        )
    return description


def _hash(description: dict[str, Any]) -> str:
    return hashlib.sha256(
        json.dumps(description, sort_keys=True, ensure_ascii=False).encode()
    ).hexdigest()
