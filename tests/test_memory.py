"""Freed memory is kept: the next batch takes none from the operating system."""

import subprocess
import sys

import pytest

FAULTS = """
import ctypes, resource, sys
from knowbound.memory import keep_freed_memory
kept = keep_freed_memory() if "keep" in sys.argv else None
malloc, free = ctypes.CDLL(None).malloc, ctypes.CDLL(None).free
malloc.restype, malloc.argtypes, free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
SIZE = 48 << 20
for turn in range(6):
    if turn == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = malloc(SIZE)
    ctypes.memset(block, 1, SIZE)
    free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, kept)
"""


def faults(*words: str) -> tuple[int, str]:
    ran = subprocess.run(
        [sys.executable, "-c", FAULTS, *words], capture_output=True, text=True, check=True
    )
    count, kept = ran.stdout.split()
    return int(count), kept


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is GNU/Linux's")
def test_memory_is_kept_for_the_next_batch() -> None:
    usual, _ = faults()
    kept, said = faults("keep")
    assert said == "True"
    assert usual > 5000  # a page of 4 KiB each, or fewer huge ones
    assert kept < usual / 20
