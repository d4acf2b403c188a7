"""What a model's folder says of itself, with every checksum compared.  It needs no torch, and
nothing in a file is ever executed."""

import hashlib
import json
import re
from pathlib import Path

from knowbound._version import __version__
from knowbound.errors import UserError
from knowbound.files.file_set import read_files
from knowbound.files.lock import LOCK
from knowbound.values import JsonObject

FORMAT = "knowbound-model"
FORMAT_VERSION = 2
READABLE = (1, 2)
"""Format versions this version reads."""
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
CHECKPOINT = "checkpoint.safetensors"
"""What a training that was stopped is resumed from, in the folder of the model to be."""


def read_verified(folder: Path) -> tuple[JsonObject, bytes]:
    """The description of a model and the content of its file of weights, after their checksums were
    compared.

    Args:
        folder: of the model.

    Raises:
        UserError: a missing or damaged file, or an unknown format version.
    """
    check_there(folder)
    path = folder / DESCRIPTION
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
    return description, weights


def check_there(folder: Path) -> None:
    """Check that a folder holds a model, before its files are read.

    Args:
        folder: of the model.

    Raises:
        UserError: it holds none, with what it is instead and what to do.
    """
    if (folder / DESCRIPTION).is_file():
        return
    reason, advice = f"{DESCRIPTION} is missing", "expected a folder that `knowbound fit -o` wrote"
    if folder.is_file():
        reason = "it is a file"
        if (folder.parent / DESCRIPTION).is_file():
            advice = f"give the folder, {folder.parent}"
    elif not folder.exists():
        reason = "there is no such folder"
    elif any((folder / name).exists() for name in (LOCK, CHECKPOINT)):
        reason = "its training has not ended"
        advice = (
            "wait for its end; if it was stopped, give the command of the training again, with "
            "--resume"
        )
    raise UserError(f"there is no model in {folder} ({reason}); {advice}")


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


def _described(path: Path, content: bytes) -> JsonObject:
    """The description without its own checksum.

    Raises:
        UserError: it is no description, of an unknown format version, or was changed.
    """
    try:
        description: JsonObject = json.loads(content)
        found = (description["format"], description["format_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is not the description of a model; expected a file that `knowbound fit -o` "
            "wrote"
        ) from error
    if found[0] != FORMAT or found[1] not in READABLE:
        raise UserError(
            f"{path} has the format {found[0]} {found[1]}, written by knowbound "
            f"{description.get('knowbound')}; this is knowbound {__version__}, which reads "
            f"{FORMAT} {FORMAT_VERSION}: install the version that wrote it"
        )
    checksum = description.pop("description_sha256", None)
    if checksum != checksum_of(description):
        raise UserError(
            f"{path} was changed or damaged since it was written (its checksum differs); copy it "
            "again, or fit again"
        )
    return description


def checksum_of(description: JsonObject) -> str:
    """SHA-256 of a description without its own checksum.

    Args:
        description: JSON values.
    """
    return hashlib.sha256(
        json.dumps(description, sort_keys=True, ensure_ascii=False).encode()
    ).hexdigest()
