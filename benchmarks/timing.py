"""Times taken in turn, and the line of a table that tells their ratio."""

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable


def quick(description: str | None) -> bool:
    """Whether ``--quick`` was given on the command line: fewer repeats, for a look only."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer repeats and smaller sizes, for a look only"
    )
    return bool(parser.parse_args().quick)


def medians(repeats: int, *functions: Callable[[], object], warm: bool = True) -> list[float]:
    """Seconds of each function, the functions taking turns so that a busy moment hits all of
    them."""
    times: list[list[float]] = [[] for _ in functions]
    for function in functions if warm else ():
        function()
    for _ in range(repeats):
        for function, taken in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def heading() -> None:
    """The head of a table of lines."""
    print("| what / compared to | ratio | target | measured |\n|---|---|---|---|", flush=True)


def line(name: str, ratio: float, target: str, detail: str) -> None:
    """One line of a table."""
    print(f"| {name} | {ratio:.3g} | {target} | {detail} |", flush=True)


def seconds(first: float, second: float) -> str:
    """Two times in a unit that suits them."""
    scale, unit = (1e3, "ms") if max(first, second) < 10 else (1.0, "s")
    return f"{scale * first:,.1f} {unit} / {scale * second:,.1f} {unit}"


def peak_memory() -> int:
    """Largest memory of this process so far, in bytes (Linux counts in KiB, macOS in bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
