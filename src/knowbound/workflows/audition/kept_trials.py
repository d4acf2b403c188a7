"""What trials gave, kept beside the cached features, so the same command does not train again."""

import json
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

from knowbound.data.feature_cache import cache_folder
from knowbound.errors import UserError
from knowbound.files import remove_kept, replace_file
from knowbound.values import JsonMapping
from knowbound.workflows.audition.trial import Trial


def kept_trials() -> list[Path]:
    """The files of what trials gave."""
    return sorted(_trials().glob("*.json"))


def empty_trials() -> int:
    """Remove what trials gave; how many bytes that freed.

    Raises:
        UserError: a file cannot be removed.
    """
    return remove_kept(kept_trials())


def _trials() -> Path:
    return cache_folder() / "auditions"


def memory_of(what: JsonMapping) -> Path:
    """The file in which a trial is kept.

    Args:
        what: all that its numbers depend on.
    """
    digest = sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()
    return _trials() / f"{digest}.json"


def remembered(place: Path) -> Trial | None:
    """What was measured before; None where nothing was, or the file is damaged.

    Args:
        place: the file, as ``memory_of`` gives it.
    """
    try:
        return replace(Trial(**json.loads(place.read_bytes())), remembered=True)
    except (OSError, ValueError, TypeError):
        return None


def remember(place: Path, trial: Trial) -> None:
    """Keep a trial; where that cannot be done, it is measured again another time.

    Args:
        place: the file, as ``memory_of`` gives it.
        trial: what was measured.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        replace_file(place, json.dumps(asdict(trial)).encode())
    except (OSError, UserError):
        return
