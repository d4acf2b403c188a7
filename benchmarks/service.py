"""A service in a process of its own, to be measured and attacked, and a model for it."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks.bench_scoring import source
from knowbound.backbones import WideResNet
from knowbound.boundary import Boundary
from knowbound.data.preprocessing import Preprocessing
from knowbound.detectors import NearestCentre
from knowbound.product.onnx_export import export

CLI = "from knowbound.cli import main; main()"


def write_model(folder: Path) -> Path:
    """WRN-16-2 for 32 x 32 in colour, untrained, as an ONNX file in the folder."""
    torch.manual_seed(0)
    known = source(20, 0)
    boundary = Boundary(
        WideResNet(32), NearestCentre(), Preprocessing(32, 32, 3), known.class_names
    )
    boundary.learn(known).calibrate(source(20, 1))
    export(boundary, folder / "model.onnx")
    return folder / "model.onnx"


class Service:
    """A running one.

    Args:
        process: that serves.
        port: it listens on.
        said: its standard error.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int, said: Path) -> None:
        self.process, self.port, self._said = process, port, said

    def memory(self) -> int:
        """Bytes that are resident now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.findall(r"VmRSS:\s+(\d+)", status)[0])

    def cpu(self) -> float:
        """Seconds that its threads have computed."""
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def open_files(self) -> int:
        """Sockets among them."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def is_alive(self) -> bool:
        """Whether it answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=30) as answer:
            return self.process.poll() is None and answer.status == 200

    def log(self) -> str:
        """Its standard error."""
        return self._said.read_text()


@contextmanager
def serving(model: Path, *options: str) -> Iterator[Service]:
    """A service on a free port, ended well with the block.

    Args:
        model: to serve.
        options: of ``knowbound serve``.
    """
    said = model.parent / "service.txt"
    words = ("serve", str(model), "--port", "0", "--no-access-log", *options)
    with said.open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", CLI, *words], stderr=log)
    try:
        yield Service(process, _port(process, said), said)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)


def _port(process: subprocess.Popen[bytes], said: Path) -> int:
    until = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < until:
        found = re.search(r"http://[\d.]+:(\d+)", said.read_text())
        if found:
            return int(found.group(1))
        time.sleep(0.005)
    raise RuntimeError(f"the service did not start: {said.read_text()}")
