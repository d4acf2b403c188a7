"""Fine-tuned networks that are kept on disk, so that the same command tunes nothing again."""

import json
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from knowbound._version import __version__
from knowbound.backbones import Backbone
from knowbound.building.tuned import OnStep, Tuned, tune
from knowbound.building.tuning import Tuning
from knowbound.data.feature_cache import cache_folder
from knowbound.data.source import Source
from knowbound.errors import UserError
from knowbound.files import replace_file

MOST = 20
"""Networks that are kept; then those used least recently are removed."""


def tuned_once(
    network: Backbone,
    key: str,
    source: Source,
    features: Tensor,
    tuning: Tuning,
    on_step: OnStep | None = None,
) -> Tuned:
    """As ``tune``, or what it gave before.

    Args:
        network: as in ``tune``.
        key: that differs wherever the network's weights do.
        source: as in ``tune``.
        features: as in ``tune``.
        tuning: how.
        on_step: called after every step.

    Raises:
        UserError: as ``tune`` does.
    """
    place = _place(key, source, tuning, network)
    kept = _read(place, network, tuning)
    if kept is not None:
        return kept
    made = tune(network, source, features, tuning, on_step)
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
    freed = 0
    for path in kept_tunings():
        try:
            size = path.stat().st_size
            path.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(
                f"{path} cannot be removed ({error.strerror}); remove the folder by hand"
            ) from error
        freed += size
    return freed


def _folder() -> Path:
    return cache_folder() / "tuned"


def _place(key: str, source: Source, tuning: Tuning, network: Backbone) -> Path:
    what = {
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
            tuned.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        place.touch()
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError):
        return None
    mirrored = tuple(note["mirrored"])
    return Tuned(tuned, tuning, note["seconds"], note["images"], note["loss"], mirrored, True)


def _write(place: Path, made: Tuned) -> None:
    from safetensors.torch import save

    weights = {name: value.contiguous() for name, value in made.network.state_dict().items()}
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        replace_file(place, save(weights, {"note": json.dumps(made.to_dict())}))
        for old in kept_tunings()[MOST:]:
            old.unlink(missing_ok=True)
    except (OSError, UserError):
        return  # it is tuned again another time
