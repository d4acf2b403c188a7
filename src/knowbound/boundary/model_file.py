"""A boundary on disk: weights and centres as safetensors, everything else as readable JSON.
Nothing in it is ever executed."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from knowbound._version import __version__
from knowbound.backbones import BACKBONES
from knowbound.boundary.boundary import Boundary
from knowbound.data.preprocessing import Preprocessing
from knowbound.detectors import DETECTORS
from knowbound.errors import UserError
from knowbound.files import replace_file

FORMAT = "knowbound-model"
FORMAT_VERSION = 1
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


def save_boundary(boundary: Boundary, folder: Path) -> None:
    """Write ``model.safetensors`` and ``model.json`` into a folder, each replaced whole.

    Raises UserError for a backbone or detector that is not one of ours (its code could not be found
    again at loading), and where the folder cannot be written.
    """
    from safetensors.torch import save

    weights = save({name: tensor.contiguous() for name, tensor in boundary.state_dict().items()})
    description = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "knowbound": __version__,
        "class_names": list(boundary.class_names),
        "preprocessing": boundary.preprocessing.to_dict(),
        "backbone": {
            "name": _name_of(boundary.backbone, BACKBONES),
            "settings": dict(_settings(boundary.backbone)),
        },
        "detector": {
            "name": _name_of(boundary.detector, DETECTORS),
            "settings": dict(_settings(boundary.detector)),
        },
        "acceptance": boundary.acceptance,
        "threshold": _finite(float(boundary.threshold)),
        "likeness_threshold": _finite(float(boundary.likeness.threshold)),
        "about": boundary.about,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    description["description_sha256"] = _hash(description)
    replace_file(folder / WEIGHTS, weights)
    replace_file(
        folder / DESCRIPTION,
        (json.dumps(description, indent=2, ensure_ascii=False) + "\n").encode(),
    )


def load_boundary(folder: Path) -> Boundary:
    """The boundary saved in a folder, on the CPU, after its checksums and every name in it were
    checked.

    Raises UserError for a missing or damaged file, an unknown format version, backbone or detector,
    and weights that do not fit.
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
    try:
        boundary = _build(description)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder / DESCRIPTION} describes no model this version can build: {error}"
        ) from error
    tensors = load(weights)
    for name, tensor in tensors.items():  # buffers that fit() sizes: centres, precision, ...
        _resize_buffer(boundary, name, tensor.shape)
    boundary.load_state_dict(tensors)
    return boundary.eval()


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
    if found != (FORMAT, FORMAT_VERSION):
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


def _build(description: dict[str, Any]) -> Boundary:
    backbone, detector = description["backbone"], description["detector"]
    tables: tuple[tuple[str, Mapping[str, Any], Any], ...] = (
        ("backbone", BACKBONES, backbone),
        ("detector", DETECTORS, detector),
    )
    for kind, table, found in tables:
        if found["name"] not in table:
            raise ValueError(
                f"the {kind} {found['name']!r} is unknown; this version has {sorted(table)}"
            )
    build: Any = DETECTORS[detector["name"]]
    return Boundary(
        BACKBONES[backbone["name"]](**backbone["settings"]),
        build(**detector["settings"]),
        Preprocessing.from_dict(description["preprocessing"]),
        description["class_names"],
        acceptance=description["acceptance"],
        about=description["about"],
    )


def _resize_buffer(module: Any, name: str, shape: Any) -> None:
    *parents, last = name.split(".")
    for parent in parents:
        module = getattr(module, parent)
    buffer = dict(module.named_buffers(recurse=False)).get(last)
    if buffer is not None and buffer.shape != shape:
        setattr(module, last, buffer.new_empty(shape))


def _name_of(part: Any, table: Mapping[str, Any]) -> str:
    for name, kind in table.items():
        if type(part) is kind:
            return name
    raise UserError(
        f"{type(part).__name__} cannot be saved: loading must not run unknown code, so only "
        f"{sorted(table)} can be; save its state_dict yourself"
    )


def _settings(part: Any) -> dict[str, Any]:
    settings: dict[str, Any] = part.settings
    return settings


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _hash(description: dict[str, Any]) -> str:
    return hashlib.sha256(
        json.dumps(description, sort_keys=True, ensure_ascii=False).encode()
    ).hexdigest()
