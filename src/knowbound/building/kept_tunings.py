"""Fine-tuned networks that are kept on disk, so that the same command tunes nothing again."""

import json
import time
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from knowbound._version import __version__
from knowbound.backbones import Backbone
from knowbound.building.parts import OnStep
from knowbound.building.tuned import Tuned, Tuner
from knowbound.building.tuning import Tuning
from knowbound.data.feature_cache import cache_folder
from knowbound.data.source import Source
from knowbound.detectors.detector import Detector
from knowbound.errors import UserError
from knowbound.files import remove_kept, replace_file

SCORES, NEAREST = "left_out.scores", "left_out.nearest"
"""Names, in a file, of what was said of images that were left out in turn."""
MOST = 20
"""Networks that are kept; then those used least recently are removed."""


@dataclass(frozen=True, eq=False)
class InTurn:
    """What is left out of tunings in turn: detector: that judges it; parts: (N,) the part of each
    image."""

    detector: Detector
    parts: NDArray[np.int64]


def tuned_once(
    network: Backbone,
    key: str,
    source: Source,
    features: Tensor,
    tuning: Tuning,
    in_turn: InTurn | None = None,
    on_step: OnStep | None = None,
) -> Tuned:
    """A fine-tuned network, and what is said of images that are left out in turn; or what was kept
    of the same.

    Args:
        network: as in ``Tuner``.
        key: that differs wherever the network's weights do.
        source: as in ``Tuner``.
        features: as in ``Tuner``.
        tuning: how.
        in_turn: what is left out; None: nothing is.
        on_step: called after every step.

    Raises:
        UserError: as ``Tuner`` does.
    """
    place = _place(key, source, tuning, network, in_turn)
    kept = _read(place, network, tuning)
    if kept is not None:
        return kept
    start = time.monotonic()
    tuner = Tuner(network, source, features, tuning)
    made = tuner.tune(on_step=on_step)
    left_out = tuner.left_out(in_turn.detector, in_turn.parts) if in_turn else None
    made = replace(made, left_out=left_out, seconds=time.monotonic() - start)
    _write(place, made)
    return made


def kept_tunings() -> list[Path]:
    """The files of fine-tuned networks, the one used last first."""
    return sorted(_folder().glob("*.safetensors"), key=lambda path: -path.stat().st_mtime)


def empty_tunings() -> int:
    """Remove them; how many bytes that freed.

    Raises:
        UserError: a file cannot be removed.
    """
    return remove_kept(kept_tunings())


def _folder() -> Path:
    return cache_folder() / "tuned"


def _place(
    key: str, source: Source, tuning: Tuning, network: Backbone, in_turn: InTurn | None
) -> Path:
    detector = in_turn.detector if in_turn else None
    what = {
        "detector": [type(detector).__name__, detector.settings] if detector else None,
        "parts": in_turn.parts.tolist() if in_turn else None,
        "network": key,
        "settings": network.settings,
        "images": source.sha256(),
        "classes": list(source.class_names),
        "tuning": asdict(tuning),
        "torch": torch.__version__,
        "version": __version__,
    }
    digest = sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    return _folder() / f"{digest}.safetensors"


def _read(place: Path, network: Backbone, tuning: Tuning) -> Tuned | None:
    """What was kept; None where nothing was, or the file is damaged."""
    from safetensors import SafetensorError, safe_open

    tuned = type(network)(**network.settings).eval().requires_grad_(False)
    try:
        with safe_open(place, framework="pt") as file:
            note = json.loads(file.metadata()["note"])
            names = list(file.keys())
            tensors = {name: file.get_tensor(name) for name in names}
        scores, nearest = tensors.pop(SCORES, None), tensors.pop(NEAREST, None)
        tuned.load_state_dict(tensors)
        place.touch()
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError):
        return None
    return Tuned(
        tuned,
        tuning,
        note["seconds"],
        note["images"],
        note["loss"],
        tuple(note["mirrored"]),
        None if scores is None or nearest is None else (scores, nearest),
        remembered=True,
    )


def _write(place: Path, made: Tuned) -> None:
    from safetensors.torch import save

    weights = {name: value.contiguous() for name, value in made.network.state_dict().items()}
    if made.left_out is not None:
        weights |= dict(zip((SCORES, NEAREST), made.left_out, strict=True))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        replace_file(place, save(weights, {"note": json.dumps(made.to_dict())}))
        for old in kept_tunings()[MOST:]:
            old.unlink(missing_ok=True)
    except (OSError, UserError):
        return  # it is tuned again another time
