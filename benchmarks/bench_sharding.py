"""Judging on several processes against one: images in memory and folders of pictures.

    python -m benchmarks.bench_sharding [--quick]

The processes are started and have the model loaded before the clock starts; what that takes stands
in a line of its own.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.bench_scoring import CLASSES, pictures, source
from benchmarks.timing import heading, line, medians, quick, seconds
from knowbound.backbones import WideResNet
from knowbound.boundary.boundary import Boundary
from knowbound.data.preprocessing import Preprocessing
from knowbound.detectors import NearestCentre
from knowbound.product.sharding import Shards


def saved_boundary(folder: Path) -> Boundary:
    """An untrained WRN-16-2 with centres, in a folder and in memory."""
    torch.manual_seed(0)
    learned, held = source(500, 0), source(100, 1)
    network = WideResNet(CLASSES)
    boundary = (
        Boundary(network, NearestCentre(), Preprocessing(32, 32, 3), learned.class_names)
        .learn(learned)
        .calibrate(held)
    )
    boundary.save(folder)
    return boundary


def with_threads(count: int, function: Callable[[], object]) -> None:
    """The function with this process at so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    function()
    torch.set_num_threads(before)


def main(quickly: bool = False) -> None:
    """Print the table."""
    heading()
    count, files, repeats = (1024, 512, 1) if quickly else (4096, 2048, 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        boundary, images = saved_boundary(folder / "model"), source(count, 2)
        (folder / "in").mkdir()
        paths = pictures(folder / "in", files, 64)
        began = time.perf_counter()
        with (
            Shards(folder / "model", 1, threads=1) as alone,
            Shards(folder / "model", 2, threads=1) as pair,
        ):
            for shards in (alone, pair):
                shards.judge(source(2, 3))  # starts them
            started = time.perf_counter() - began
            one, two, threads = medians(
                repeats,
                lambda: alone.judge(images),
                lambda: pair.judge(images),
                lambda: with_threads(2, lambda: boundary.judge_source(images)),
            )
            what = f"{count:,} images in memory, WRN-16-2"
            line(
                f"one worker / two, a thread each, {what}",
                one / two,
                "at least 1.8",
                seconds(one, two),
            )
            line(
                f"one process with 2 threads / two workers with one each, {what}",
                threads / two,
                "",
                seconds(threads, two),
            )
            line(
                f"starting three workers / judging on two, {what}",
                started / two,
                "",
                seconds(started, two),
            )
            one, two = medians(
                repeats, lambda: list(alone.predict(paths)), lambda: list(pair.predict(paths))
            )
            line(
                f"one worker / two, a thread each, {files:,} JPEGs of 64 x 64",
                one / two,
                "at least 1.8",
                seconds(one, two),
            )


if __name__ == "__main__":
    main(quick(__doc__))
