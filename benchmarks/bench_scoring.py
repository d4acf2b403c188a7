"""Scoring against the bare forward pass, every detector against it, several detectors at once, and
folders of pictures.

python -m benchmarks.bench_scoring [--quick]
"""

import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from benchmarks.timing import heading, line, medians, quick, seconds
from knowbound.backbones import WideResNet
from knowbound.boundary import Boundary
from knowbound.boundary.batches import CPU_BATCH
from knowbound.boundary.boundary import Judging
from knowbound.boundary.together import judge_together, with_detectors
from knowbound.data.pictures.parts import Files
from knowbound.data.pictures.picture_files import read_files
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import Source, to_unit_interval
from knowbound.detectors import NearestCentre
from knowbound.detectors.choice import detectors_for, make_detector
from knowbound.memory import keep_freed_memory
from knowbound.outputs import Field
from knowbound.product.any_model import load_model
from knowbound.product.onnx_export import export
from knowbound.workflows.predict import predict_part

CLASSES = 10
OUTPUTS: tuple[Field, ...] = ("stages", "features", "embedding", "logits")


def source(count: int, seed: int) -> Source:
    """Random 32 x 32 colour images of ten classes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    return Source(
        "random", pixels, np.arange(count) % CLASSES, tuple(str(c) for c in range(CLASSES))
    )


def forward(network: nn.Module, batches: list[Tensor]) -> None:
    """The bare network on ready batches."""
    with torch.inference_mode():
        for batch in batches:
            network(batch, stages=True)


def pictures(folder: Path, count: int, side: int) -> list[Path]:
    """JPEG files of that size, as photographs are: smooth with some noise."""
    rng = np.random.default_rng(0)
    paths = []
    for index in range(count):
        rough = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize(
            (side, side), Image.Resampling.BICUBIC
        )
        paths.append(folder / f"{index}.jpg")
        rough.save(paths[-1], quality=90)
    return paths


def folder_speed(boundary: Boundary, count: int, side: int) -> None:
    """Judging a folder of pictures against the slower of decoding alone and the network alone."""
    with tempfile.TemporaryDirectory() as name:
        paths = pictures(Path(name), count, side)
        pixels = np.stack(
            [
                image
                for _, image, _ in read_files(paths, boundary.preprocessing)
                if image is not None
            ]
        )
        batches = [
            torch.from_numpy(to_unit_interval(pixels[i : i + CPU_BATCH]))
            for i in range(0, count, CPU_BATCH)
        ]
        batches = [batch.to(memory_format=torch.channels_last) for batch in batches]
        works: tuple[Callable[[], object], ...] = (
            lambda: list(predict_part(boundary, Files(tuple(paths)))),
            lambda: list(read_files(paths, boundary.preprocessing)),
            lambda: forward(boundary.backbone, batches),
        )
        whole, decode, network = medians(3, *works)
        slower = max(decode, network)
        files = f"{count:,} JPEGs of {side} x {side}"
        what = f"decoding ({decode:.2f} s) and forward ({network:.2f} s)"
        line(
            f"slower of {what} / prediction, {files}",
            slower / whole,
            "at least 0.9",
            seconds(slower, whole),
        )
        both = (
            decode + network
        )  # each of them keeps every core busy: no less than their sum is possible on the same cores
        line(f"{what} in turn / prediction, {files}", both / whole, "", seconds(both, whole))


def number_formats(
    network: WideResNet, learned: Source, held: Source, queries: Source, repeats: int
) -> None:
    """Judging in float32 with memory given back and kept, in bf16, and through onnxruntime."""
    made: dict[Judging, Boundary] = {}
    for name in get_args(Judging):
        one = Boundary(
            network, NearestCentre(), Preprocessing(32, 32, 3), learned.class_names, judging=name
        )
        made[name] = one.learn(learned).calibrate(held)
    pixels = queries.images(slice(None))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name, one in made.items():
            one.save(place / name)
        export(made["float32"], place / "float32.onnx")
        models = [place / "float32", place / "float32", place / "bf16", place / "float32.onnx"]
        usual, *others = processes(models, pixels, repeats, keeps=(False, True, True, True))
    for words, other in zip(
        ("float32, freed memory kept", "bf16", "onnxruntime"), others, strict=True
    ):
        line(
            f"judging in float32 as torch allocates / {words}, nearest centre",
            usual / other,
            "at least 2" if words == "bf16" else "",
            seconds(usual, other),
        )


def processes(
    models: list[Path], pixels: NDArray[np.uint8], repeats: int, keeps: tuple[bool, ...]
) -> list[float]:
    """The least seconds of judging in a process for each model, the processes taking turns; a
    process keeps freed memory or gives it back."""
    running = []
    context = get_context("spawn")
    for model, kept in zip(models, keeps, strict=True):
        ours, theirs = context.Pipe()
        worker = context.Process(target=judge_when_asked, args=(model, kept, theirs), daemon=True)
        worker.start()
        ours.send(pixels)
        ours.recv()
        running.append((worker, ours))
    times: list[list[float]] = [[] for _ in running]
    for _ in range(repeats):
        for (_, ours), taken in zip(running, times, strict=True):
            ours.send(True)
            taken.append(ours.recv())
    for worker, ours in running:
        ours.send(False)
        worker.join()
    return [min(taken) for taken in times]


def judge_when_asked(model: Path, kept: bool, pipe: Connection) -> None:
    """Judge the images that come first whenever something true comes, and send the seconds."""
    if kept:
        keep_freed_memory()
    judge, pixels = load_model(model), pipe.recv()
    judge.judge(pixels)
    pipe.send(0.0)
    while pipe.recv():
        began = time.perf_counter()
        judge.judge(pixels)
        pipe.send(time.perf_counter() - began)


def main(quickly: bool = False) -> None:
    """Print the table."""
    heading()
    torch.manual_seed(0)
    network = WideResNet(embedding=32, logits=CLASSES).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    learned, held, queries = source(2000, 0), source(200, 1), source(512 if quickly else 2048, 2)
    boundary = (
        Boundary(network, NearestCentre(), Preprocessing(32, 32, 3), learned.class_names)
        .learn(learned)
        .calibrate(held)
    )
    batches = list(boundary.batches(queries))
    repeats = 2 if quickly else 5
    bare, ours = medians(
        repeats, lambda: forward(network, batches), lambda: boundary.judge(queries)
    )
    line(
        "bare forward pass / judging with the nearest centre, WRN-16-2",
        bare / ours,
        "at least 0.97",
        seconds(bare, ours),
    )
    number_formats(network, learned, held, queries, repeats)
    names = detectors_for(OUTPUTS)
    boundaries = dict(
        zip(
            names,
            with_detectors(boundary, [make_detector(n, OUTPUTS) for n in names], learned, held),
            strict=True,
        )
    )
    for name, one in boundaries.items():
        bare, scored = medians(
            2, lambda: forward(network, batches), lambda one=one: one.judge(queries)
        )
        line(
            f"judging with {name} / bare forward pass",
            scored / bare,
            "about 4" if name == "odin" else "",
            seconds(scored, bare),
        )
    several = [
        b
        for n, b in boundaries.items()
        if n in ("nearest_centre", "max_softmax", "energy", "k_nearest", "mahalanobis")
    ]
    together, alone = medians(
        repeats, lambda: judge_together(several, queries), lambda: boundary.judge(queries)
    )
    line(
        f"{len(several)} detectors in one pass / the nearest centre alone",
        together / alone,
        "at most 1.2",
        seconds(together, alone),
    )
    folder_speed(boundary, 500 if quickly else 2000, 64)
    folder_speed(boundary, 100 if quickly else 400, 640)


if __name__ == "__main__":
    main(quick(__doc__))
