"""How long a user waits: ``knowbound --help``, and ``knowbound predict`` of one picture, against a
bare interpreter.

python -m benchmarks.bench_startup [--quick]
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.bench_scoring import source
from benchmarks.timing import heading, line, medians, quick, seconds
from knowbound.backbones import WideResNet
from knowbound.boundary.boundary import Boundary
from knowbound.data.preprocessing import Preprocessing
from knowbound.detectors import NearestCentre


def run(*words: str) -> None:
    """A Python process, to its end."""
    subprocess.run([sys.executable, *words], check=True, capture_output=True)


def main(quickly: bool = False) -> None:
    """Print the table."""
    heading()
    repeats = 3 if quickly else 7
    with tempfile.TemporaryDirectory() as name:
        model, picture = Path(name, "model"), Path(name, "picture.png")
        torch.manual_seed(0)
        boundary = Boundary(
            WideResNet(32), NearestCentre(), Preprocessing(32, 32, 3), source(20, 0).class_names
        )
        boundary.learn(source(20, 0)).calibrate(source(20, 1)).save(model)
        Image.fromarray(np.zeros((32, 32, 3), dtype=np.uint8)).save(picture)
        cli = "from knowbound.cli import main; main()"
        bare, with_torch, about, one = medians(
            repeats,
            lambda: run("-c", "pass"),
            lambda: run("-c", "import torch"),
            lambda: run("-c", cli, "--help"),
            lambda: run("-c", cli, "predict", str(model), str(picture)),
        )
    line(
        "`knowbound --help` / a bare interpreter", about / bare, "under 0.3 s", seconds(about, bare)
    )
    line(
        "`knowbound predict` of one picture / `import torch`",
        one / with_torch,
        "under 3 s",
        seconds(one, with_torch),
    )


if __name__ == "__main__":
    main(quick(__doc__))
