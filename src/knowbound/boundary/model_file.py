"""A model on disk: weights and centres as safetensors, everything else as readable JSON.

It knows no ``Boundary``, only a description and tensors.  Nothing in a file is ever executed.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from knowbound.boundary.old_formats import from_version_1
from knowbound.files.file_set import replace_files
from knowbound.model_folder.description import (
    DESCRIPTION as DESCRIPTION,
)
from knowbound.model_folder.description import (
    FORMAT,
    FORMAT_VERSION,
    WEIGHTS,
    checksum_of,
    read_verified,
)
from knowbound.values import JsonMapping, JsonObject


def write_model(folder: Path, description: JsonMapping, tensors: Mapping[str, Tensor]) -> None:
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
        whole["description_sha256"] = checksum_of(whole)
        return (json.dumps(whole, indent=2, ensure_ascii=False) + "\n").encode()

    replace_files(folder, DESCRIPTION, {WEIGHTS: weights}, describe)


def read_model(folder: Path) -> tuple[JsonObject, dict[str, Tensor]]:
    """The description and the tensors of a model, after their checksums were compared.

    A model of an older format is given as this version would have written it.

    Raises:
        UserError: a missing or damaged file, or an unknown format version.
    """
    from safetensors.torch import load

    description, weights = read_verified(folder)
    tensors = load(weights)
    if description["format_version"] == 1:
        return from_version_1(description, tensors)
    return description, tensors
