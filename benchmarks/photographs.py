r"""What ``knowbound fit`` makes of photographs: five of eight classes known, three new.

python -m benchmarks.photographs CLASSES --anomalies NAME=DIR --anomalies NAME=DIR \
    [--options "--backbone wrn-16-2"]

CLASSES has a folder for each class, of 75 photographs.  Of each known class 40 are for training and
the others for the test; every photograph of the other classes is a novelty.  The command is run
twice, first with an empty cache of features, then with the cache that it left.  ``--options``
are given to ``knowbound fit``.
"""

import argparse
import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knowbound.boundary import Boundary
from knowbound.data.pictures.folder import read_folder
from knowbound.judgement import Judgement
from knowbound.metrics import auroc, fpr_at_tpr

KNOWN, LEARNED = 5, 40


def draw(classes: Path, folder: Path, seed: int, learned: int) -> None:
    """Copy the photographs to ``train/class``, ``test/class`` and ``new/class``."""
    rng = np.random.default_rng(seed)
    names = sorted(path.name for path in classes.iterdir() if path.is_dir())
    known = set(rng.choice(names, KNOWN, replace=False).tolist())
    for name in names:
        files = sorted((classes / name).iterdir())
        for rank, index in enumerate(rng.permutation(len(files))):
            part = ("train" if rank < learned else "test") if name in known else "new"
            if part == "test" and rank < LEARNED:
                continue  # the test is the same however many are learned
            place = folder / part / name
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(files[index], place)


def fit(folder: Path, model: Path, cache: Path, options: list[str]) -> tuple[list[float], str]:
    """Seconds of the command and of all its processors together, and what it printed."""
    command = [sys.executable, "-m", "knowbound", "fit", str(folder / "train"), "-o", str(model)]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*command, "--overwrite", *options],
        env={**os.environ, "KNOWBOUND_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [time.perf_counter() - start, used], done.stdout


def judge(
    boundary: Boundary, folder: Path, *, classes: bool = False
) -> tuple[Judgement[Any], NDArray[np.int64]]:
    """What the model says of every picture, and the true classes."""
    read = read_folder(folder, boundary.preprocessing, classes=classes)
    return boundary.judge(read.source), read.source.labels


def main() -> None:
    """Print a line for each draw, and their means."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("classes", type=Path)
    parser.add_argument("--anomalies", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--learned", type=int, default=LEARNED, help="photographs of each class")
    parser.add_argument("--options", default="", help="for knowbound fit, in quotes")
    asked = parser.parse_args()
    named = [text.partition("=") for text in asked.anomalies]
    sets = {name: Path(folder) for name, _, folder in named}
    columns = ["accuracy", "accepted", "novelty AUROC", "FPR95", "called novelty"]
    columns += [f"{name} {what}" for name in sets for what in ("AUROC", "called anomaly")]
    print("| draw | " + " | ".join([*columns, "seconds", "processor", "again", "processor"]) + " |")
    print("|---" * (len(columns) + 5) + "|", flush=True)
    rows = []
    for seed in range(asked.draws):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            draw(asked.classes, folder, seed, asked.learned)
            first, said = fit(
                folder, folder / "model", folder / "cache", shlex.split(asked.options)
            )
            again, _ = fit(folder, folder / "model", folder / "cache", shlex.split(asked.options))
            rows.append([*measure(folder, sets), *first, *again])
        print(said, file=sys.stderr, flush=True)
        print(line(str(seed), rows[-1]), flush=True)
    print(line("mean", np.mean(rows, axis=0).tolist()))


def measure(folder: Path, sets: dict[str, Path]) -> list[float]:
    """In percent, the columns of a line before the seconds."""
    boundary = Boundary.load(folder / "model")
    known, labels = judge(boundary, folder / "test", classes=True)
    new, _ = judge(boundary, folder / "new")
    found = [
        np.mean(known.nearest == labels),
        np.mean(known.decision == 0),
        auroc(known.score, new.score),
        fpr_at_tpr(known.score, new.score),
        np.mean(new.decision == 1),
    ]
    for place in sets.values():
        other, _ = judge(boundary, place)
        found += [auroc(known.score, other.score), np.mean(other.decision == 2)]
    return [100 * float(value) for value in found]


def line(name: str, values: list[float]) -> str:
    """A row of the table."""
    return f"| {name} | " + " | ".join(f"{value:.1f}" for value in values) + " |"


if __name__ == "__main__":
    main()
