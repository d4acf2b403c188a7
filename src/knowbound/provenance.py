"""Where a number comes from: version, commit, settings, data, hardware."""

import datetime
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from knowbound._version import __version__
from knowbound.values import JsonMapping, JsonObject


def provenance(settings: JsonMapping, data_sha256: Mapping[str, str], hardware: str) -> JsonObject:
    """Version, commit, settings, data hashes, hardware, torch and the date (UTC), as JSON values.

    Args:
        settings: of what was run, as JSON values.
        data_sha256: hash of each set of images, by its role.
        hardware: in words.
    """
    return {
        "version": __version__,
        "commit": commit(),
        "settings": dict(settings),
        "data_sha256": dict(data_sha256),
        "hardware": hardware,
        "torch": _version_of("torch"),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


@cache
def commit() -> str | None:
    """The git commit the code runs from, with ``+`` if files differ from it; None outside a
    checkout.

    Asked once, when the first training starts: a long run's later rows come from the code it
    started with.
    """
    here = Path(__file__)

    def git(*words: str) -> str | None:
        try:
            found = subprocess.run(
                ["git", "-C", str(here.parent), *words],
                capture_output=True,
                text=True,
                check=True,
                timeout=10,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return found.stdout.strip()

    if git("ls-files", "--error-unmatch", here.name) is None:  # inside somebody else's repository
        return None
    head = git("rev-parse", "--short=12", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", str(here.parent))
    return f"{head}+" if head and changed else head


def _version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
