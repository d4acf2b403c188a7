"""Folders of JPEGs judged by Ray's workers against one process.

python -m benchmarks.bench_ray [--quick]

Needs the extra ``ray``.  A part is written to disk by each, as ``knowbound predict`` does.
"""

import importlib.util
import tempfile
import time
from pathlib import Path

from benchmarks.bench_scoring import pictures, source
from benchmarks.timing import heading, line, quick, seconds
from knowbound.backbones import WideResNet
from knowbound.boundary import Boundary
from knowbound.data.preprocessing import Preprocessing
from knowbound.detectors import NearestCentre
from knowbound.memory import keep_freed_memory
from knowbound.product.ray_data import judge_parts
from knowbound.workflows.kept_parts import kept_parts, write_part
from knowbound.workflows.predict import Inputs, find_inputs


def alone(model: Path, found: Inputs, table: Path) -> tuple[float, bytes]:
    """Seconds of one process with its threads, and its table."""
    began, judge = time.perf_counter(), Boundary.load(model)
    with kept_parts(table, found.parts, model) as kept:
        for number in kept.missing():
            write_part(judge, found.parts[number], kept.path(number))
        kept.join()
    return time.perf_counter() - began, table.read_bytes()


def with_ray(model: Path, found: Inputs, table: Path) -> tuple[float, float, bytes]:
    """Seconds with the cluster's start, seconds from the first finished part on to the last for all
    but one, and the table."""
    began, ends = time.perf_counter(), []
    with kept_parts(table, found.parts, model) as kept:
        judge_parts(model, found.parts, kept, on_part=lambda _: ends.append(time.perf_counter()))
        kept.join()
    return time.perf_counter() - began, ends[0] - began, table.read_bytes()


def main(quickly: bool = False) -> None:
    """Print the table."""
    if importlib.util.find_spec("ray") is None:
        print("Ray is not installed: pip install 'knowbound[ray]'.")
        return
    heading()
    keep_freed_memory()
    count = 4000 if quickly else 20_000
    learned = source(1000, 0)
    made = Boundary(
        WideResNet(embedding=32).eval(),
        NearestCentre(),
        Preprocessing(32, 32, 3),
        learned.class_names,
    )
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        made.learn(learned).calibrate(source(200, 1)).save(place / "model")
        (place / "in").mkdir()
        pictures(place / "in", count, 64)
        found = find_inputs([place / "in"])
        one, plain = alone(place / "model", found, place / "one.csv")
        ray, first, table = with_ray(place / "model", found, place / "ray.csv")
    same = "the same table" if table == plain else "another table"
    line(
        f"one process / --ray, {count:,} JPEGs of 64 x 64",
        one / ray,
        "",
        f"{seconds(one, ray)}; {same}; first part after {first:.0f} s",
    )


if __name__ == "__main__":
    main(quick(__doc__))
