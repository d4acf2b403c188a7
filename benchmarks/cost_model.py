"""Cost and memory against images, classes and processes: the tables of docs/scale.md, from the
constants below and nothing else.

    python -m benchmarks.cost_model            prints them
    python -m benchmarks.cost_model --write    puts them into docs/scale.md

Change a constant to your machines' and run it again.
"""

import math
import sys
from dataclasses import dataclass, fields
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
BEGIN, END = "<!-- printed by benchmarks/cost_model.py -->", "<!-- end of what it prints -->"
HOUR = 3600
Row = tuple[str, ...]


@dataclass(frozen=True)
class Constant:
    """A number, its unit and where it comes from."""

    value: float
    unit: str
    source: str


@dataclass(frozen=True)
class Constants:
    """Measured on 2 cores of an AMD EPYC (AVX2) with WRN-16-2 on 32 x 32 colour images, or
    chosen."""

    train_rate: Constant = Constant(
        71, "images/s per core", "bench_training, 143 images/s on 2 cores"
    )
    score_rate: Constant = Constant(
        261, "images/s per core", "nearest centre, one process with one thread"
    )
    odin_passes: Constant = Constant(
        3, "forward passes", "bench_scoring: two forward passes and a backward one"
    )
    decode_rate: Constant = Constant(
        800,
        "images/s per core",
        "bench_scoring, JPEG of 64 x 64 to 32 x 32, two threads on 2 cores",
    )
    shard_speedup: Constant = Constant(
        1.93, "times, of 2 workers", "two processes with a model each, images in memory"
    )
    centre_rate: Constant = Constant(
        2.2e7, "distances/s per core", "nearest of 10,000 centres, score and class, 512 images"
    )
    metrics_time: Constant = Constant(
        0.052, "s for 2,000,000 scores", "bench_metrics, five metrics, float64"
    )
    metrics_memory: Constant = Constant(
        2, "times the scores", "bench_metrics --large: at most, beside the scores"
    )
    pairs_time: Constant = Constant(
        0.181, "s for a batch of 4,096", "bench_contrastive, D = 32, forward + backward, 2 cores"
    )
    pairs_least: Constant = Constant(
        0.0016, "s", "bench_contrastive, a batch of 128: under some hundred images it takes no less"
    )
    product_rate: Constant = Constant(
        22e9,
        "operations/s per core",
        "bench_contrastive: 3 products of 2 x 4,096^2 x 32 operations in 73 ms on 2 cores",
    )
    listed_file: Constant = Constant(
        600, "bytes per file", "path, printable path and hash that read_folder keeps (tracemalloc)"
    )
    image: Constant = Constant(3 * 32 * 32, "bytes", "uint8, 3 x 32 x 32")
    parameters: Constant = Constant(691_674, "numbers", "WRN-16-2 with ten outputs")
    dim: Constant = Constant(32, "D", "embedding, the default of fit")
    features: Constant = Constant(
        128, "F", "features of WRN-16-2, what a k-nearest-neighbour bank keeps"
    )
    passes: Constant = Constant(10, "times through all images", "chosen")
    local_batch: Constant = Constant(128, "images per process and step", "chosen: fit's for WRN")
    machines: Constant = Constant(64, "machines", "chosen")
    cores: Constant = Constant(16, "cores per machine", "chosen")
    network: Constant = Constant(1.25e9, "bytes/s", "chosen: 10 Gbit/s")


def tables(constants: Constants | None = None) -> str:
    """The constants and the three tables, as Markdown."""
    found = constants or Constants()
    c = {field.name: getattr(found, field.name).value for field in fields(found)}
    rows = [
        (f"`{f.name}`", f"{k.value:,g}", k.unit, k.source)
        for f in fields(found)
        for k in [getattr(found, f.name)]
    ]
    parts = (
        ("Constants", ("constant", "value", "unit", "from"), rows),
        ("Against images N", ("", *(f"{n:.0e}".replace("e+0", "e") for n in COUNTS)), by_images(c)),
        ("Against classes C", ("", *(f"{n:,}" for n in CLASSES)), by_classes(c)),
        (
            "Against processes P of 2 cores that train together",
            ("", *(f"{n:,}" for n in PROCESSES)),
            by_processes(c),
        ),
    )
    return (
        "\n\n".join(f"### {title}\n\n{_markdown(head, body)}" for title, head, body in parts) + "\n"
    )


METRICS_SCORES = 2_000_000
COUNTS = (10**6, 10**7, 10**8, 10**9)


def by_images(c: dict[str, float]) -> list[Row]:
    """What grows with the images."""
    cluster = c["machines"] * c["cores"] * c["shard_speedup"] / 2
    training = [c["passes"] * n / c["train_rate"] for n in COUNTS]
    scoring = [n / c["score_rate"] for n in COUNTS]
    decoding = [c["passes"] * n / c["decode_rate"] for n in COUNTS]
    sorted_in_time = METRICS_SCORES * math.log(METRICS_SCORES) / c["metrics_time"]
    return [
        ("decoded images, each process that holds them", *(size(n * c["image"]) for n in COUNTS)),
        (
            "paths and hashes of a folder, each process",
            *(size(n * c["listed_file"]) for n in COUNTS),
        ),
        ("training, core-hours", *(number(t / HOUR) for t in training)),
        ("training, hours on the cluster", *(number(t / HOUR / cluster) for t in training)),
        (
            "decoding again in every pass (streamed), core-hours",
            *(number(t / HOUR) for t in decoding),
        ),
        ("scoring, nearest centre, core-hours", *(number(t / HOUR) for t in scoring)),
        ("scoring, hours on the cluster", *(number(t / HOUR / cluster) for t in scoring)),
        (
            "scoring with ODIN, hours on the cluster",
            *(number(c["odin_passes"] * t / HOUR / cluster) for t in scoring),
        ),
        ("scores, 8 bytes each", *(size(8 * n) for n in COUNTS)),
        ("gathering them, s", *(number(8 * n / c["network"]) for n in COUNTS)),
        ("embeddings, where they are kept", *(size(4 * c["dim"] * n) for n in COUNTS)),
        (
            "metrics, memory with the scores",
            *(size(8 * n * (1 + c["metrics_memory"])) for n in COUNTS),
        ),
        ("metrics, s", *(number(n * math.log(n) / sorted_in_time) for n in COUNTS)),
        ("k-nearest-neighbour bank of all N", *(size(4 * c["features"] * n) for n in COUNTS)),
        (
            "searching it for one image, s on a core",
            *(number(2 * c["features"] * n / c["product_rate"]) for n in COUNTS),
        ),
    ]


CLASSES = (100, 10_000, 1_000_000)


def by_classes(c: dict[str, float]) -> list[Row]:
    """What grows with the classes, under the nearest centre."""
    return [
        ("centres, C x D float32", *(size(4 * n * c["dim"]) for n in CLASSES)),
        ("distances of a batch of 512, 512 x C float32", *(size(4 * n * 512) for n in CLASSES)),
        (
            "distances / forward pass, time",
            *(number(n / c["centre_rate"] * c["score_rate"]) for n in CLASSES),
        ),
    ]


PROCESSES = (1, 4, 16, 64)


def by_processes(c: dict[str, float]) -> list[Row]:
    """What grows with the batch B = P x local batch, as every process computes the loss over all
    pairs of the whole batch."""
    batches = [p * c["local_batch"] for p in PROCESSES]
    step = c["local_batch"] / (2 * c["train_rate"])
    losses = [max(c["pairs_least"], c["pairs_time"] * (b / 4096) ** 2) for b in batches]
    return [
        ("batch B", *(f"{b:,.0f}" for b in batches)),
        ("all-pairs loss, s in each process", *(number(t) for t in losses)),
        ("all-pairs loss / network's step", *(number(t / step) for t in losses)),
        ("embeddings gathered", *(size(4 * b * c["dim"]) for b in batches)),
        ("a B x B matrix, which is never made", *(size(4 * b * b) for b in batches)),
        ("weights' gradients, sent once a step", *(size(4 * c["parameters"]) for _ in batches)),
    ]


def size(count: float) -> str:
    """Bytes in a binary unit that suits them."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            return f"{number(count)} {unit}"
        count /= 1024
    raise AssertionError


def number(value: float) -> str:
    """Two significant digits, without an exponent."""
    if value == 0:
        return "0"
    digits = 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    return f"{rounded:,.{max(0, 1 - math.floor(math.log10(abs(rounded))))}f}"


def _markdown(head: Row, rows: list[Row]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def page_with(text: str, page: str) -> str:
    """The page with what it has between the marks replaced by the text."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page_with(tables(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(tables())
