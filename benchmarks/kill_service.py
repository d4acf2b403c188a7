"""What is on disk after a service was killed (SIGKILL) again and again while it kept pictures.

python -m benchmarks.kill_service [--count 20]

Exit code 1 where a kept picture is not one of those that were sent, byte for byte, where a model's
file changed, or where the next service does not start and clean up.
"""

import argparse
import contextlib
import hashlib
import io
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.bench_service import Client, form
from benchmarks.service import serving, write_model

PICTURES = 16
"""In one request."""
SIDE = 400
"""Pixels: large enough that writing takes a while."""


def noise(rng: np.random.Generator) -> bytes:
    """A picture that no model knows."""
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(file, "BMP")
    return file.getvalue()


def kill_under_load(model: Path, kept: Path, seed: int) -> set[str]:
    """The hashes of all pictures that were sent before the service was killed."""
    rng, sent = np.random.default_rng(seed), set()
    options = ("--keep-novelties", str(kept), "--keep-at-most", "100000", "--keep-gb", "50")
    with serving(model, *options) as service:
        over = threading.Event()

        def load() -> None:
            with contextlib.suppress(Exception):  # it is killed under us
                while not over.is_set():
                    pictures = [noise(rng) for _ in range(PICTURES)]
                    sent.update(hashlib.sha256(one).hexdigest() for one in pictures)
                    Client(service.port, form(pictures)).ask()

        thread = threading.Thread(target=load)
        thread.start()
        time.sleep(0.5 + np.random.default_rng(seed).random())
        service.process.send_signal(signal.SIGKILL)
        over.set()
        service.process.wait()
        thread.join()
    return sent


def main() -> None:
    """Kill it and look."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20)
    count = parser.parse_args().count
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        model, kept = write_model(Path(name)), Path(name, "kept")
        before, sent, cut_off = model.read_bytes(), set(), 0
        for seed in range(count):
            sent |= kill_under_load(model, kept, seed)
            cut_off += len(list(kept.rglob("*.partial")))
        visible = [path for path in kept.rglob("*") if path.is_file() and path.name[0] != "."]
        for path in visible:
            if hashlib.sha256(path.read_bytes()).hexdigest() not in sent:
                faults.append(f"{path} is not what was sent")
        with serving(model, "--keep-novelties", str(kept)) as service:
            if not service.is_alive():
                faults.append("the next service does not answer")
        faults += [f"{path} was left" for path in kept.rglob("*.partial")]
        if model.read_bytes() != before:
            faults.append("the model's file changed")
    print(
        f"{count} kills: {len(sent)} pictures sent, {len(visible)} kept, each as it was sent but "
        f"for {len(faults)}; {cut_off} hidden files cut off, all removed by the next start"
    )
    for fault in faults:
        print(f"FAULT: {fault}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
