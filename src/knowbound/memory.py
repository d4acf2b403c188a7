"""Memory that a network frees after every batch is kept for the next one."""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Of ``mallopt`` in the C library of GNU/Linux."""
KEPT = 1 << 30
"""Bytes of freed memory that are kept at most."""
LARGEST = (1 << 28, 1 << 25)
"""Bytes of a block up to which its memory is kept; the second where the first is too much."""


def keep_freed_memory() -> bool:
    """Whether this process now keeps memory that was freed, up to 1 GiB, for what is allocated next.

    Else every activation of a batch is given back to the operating system and taken again, page by
    page, for the next batch: on a CPU a sixth of a forward pass, and a quarter of the training of a
    small network.  No number changes.  The command line calls it; a program that uses the package
    may, as it holds for the whole process.

    Returns:
        False where the C library does not have it: elsewhere than on GNU/Linux.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl
        return False
    is_kept = any(mallopt(MMAP_THRESHOLD, size) == 1 for size in LARGEST)
    return is_kept and mallopt(TRIM_THRESHOLD, KEPT) == 1
