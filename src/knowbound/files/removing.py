"""Removing what is kept to save time."""

from collections.abc import Iterable
from pathlib import Path

from knowbound.errors import UserError


def remove_kept(paths: Iterable[Path]) -> int:
    """Remove files; how many bytes that freed.

    Args:
        paths: of the files; one that is gone already frees nothing.

    Raises:
        UserError: a file cannot be removed.
    """
    freed = 0
    for path in paths:
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:  # another process was first
            continue
        except OSError as error:
            raise UserError(
                f"{path} cannot be removed ({error.strerror}); close what uses it, or remove the "
                "folder by hand"
            ) from error
        freed += size
    return freed
