"""``predict --ray`` with a process killed (SIGKILL) amid a part: every row is there, each once."""

import csv
import io
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowbound.product.onnx_export import export
from tests.boundary.test_boundary import boundary
from tests.samples import blob_images

pytest.importorskip("onnxruntime")
pytest.importorskip("ray", reason="Ray is not installed; pip install 'knowbound[ray]'")
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="which process writes a part is read from /proc"
)

ARCHIVES, PICTURES, SIDE = 20, 12, 1024
"""Each archive is a part; its pictures are large, so that a worker is found amid it."""
CLI = "from knowbound.cli import main; main()"
PATIENCE = 900.0
"""Seconds: a cluster and its workers start slowly on a busy machine."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, archives of pictures, and the table that one process makes of them."""
    folder = tmp_path_factory.mktemp("killed")
    export(boundary(), folder / "model.onnx")  # workers start sooner without torch
    (folder / "in").mkdir()
    rng = np.random.default_rng(0)
    for number in range(ARCHIVES):
        with tarfile.open(folder / "in" / f"{number:02}.tar", "w") as archive:
            for index, image in enumerate(blob_images(rng.integers(0, 5, PICTURES), rng)):
                file = io.BytesIO()
                Image.fromarray(image[0]).resize((SIDE, SIDE), Image.Resampling.NEAREST).save(
                    file, "PNG", compress_level=1
                )
                info = tarfile.TarInfo(f"{index}.png")
                info.size = len(file.getvalue())
                archive.addfile(info, io.BytesIO(file.getvalue()))
    assert exit_code(folder, "one.csv") == 0
    return folder


@contextmanager
def started(place: Path, table: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """``predict`` of all archives, its words in TABLE.txt; it ends with the block at the latest."""
    archives = sorted(path.relative_to(place) for path in (place / "in").iterdir())
    words = ["predict", "model.onnx", *map(str, archives), "-o", table, *options]
    with (place / f"{table}.txt").open("wb") as log:
        driver = subprocess.Popen(
            [sys.executable, "-c", CLI, *words], cwd=place, stdout=log, stderr=log
        )
    try:
        yield driver
    finally:
        driver.kill()
        driver.wait()


def exit_code(place: Path, table: str, *options: str) -> int:
    """Of ``predict`` of all archives."""
    with started(place, table, *options) as driver:
        return driver.wait(PATIENCE)


def said(place: Path, table: str) -> str:
    """What the last run that writes this table said, on one line."""
    return " ".join((place / f"{table}.txt").read_text().split())


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def finished(parts: Path) -> list[Path]:
    """The parts that are there under their final names."""
    return sorted(parts.glob("part-*.csv"))


def half_written(parts: Path) -> list[Path]:
    return list(parts.glob(".part-*.partial.csv"))


def writers(parts: Path) -> Iterator[int]:
    """The processes that have a half-written part open, read from the operating system."""
    for process in filter(str.isdigit, os.listdir("/proc")):
        if is_writing(int(process), parts):
            yield int(process)


def is_writing(process: int, parts: Path) -> bool:
    try:
        opened = [os.readlink(one) for one in Path(f"/proc/{process}/fd").iterdir()]
    except OSError:  # it has ended, or is another user's
        return False
    return any(Path(one).parent == parts and one.endswith(".partial.csv") for one in opened)


def stopped_amid_a_part(driver: subprocess.Popen[bytes], parts: Path) -> int:
    """A worker that some parts are finished beside, halted while it has one half written."""
    until = time.monotonic() + PATIENCE
    while driver.poll() is None and time.monotonic() < until:
        for worker in writers(parts) if len(finished(parts)) >= 3 else ():
            os.kill(worker, signal.SIGSTOP)
            if is_writing(worker, parts):
                return worker
            os.kill(worker, signal.SIGCONT)
        time.sleep(0.002)
    raise AssertionError(f"no worker was met amid a part: {said(parts.parent, parts.stem)}")


def test_a_killed_worker_costs_no_row_and_doubles_none(place: Path) -> None:
    parts = place / "worker.csv.parts"
    with started(place, "worker.csv", "--ray") as driver:
        worker = stopped_amid_a_part(driver, parts)
        assert worker != driver.pid
        before = len(finished(parts))
        os.kill(worker, signal.SIGKILL)
        assert 3 <= before < ARCHIVES
        assert half_written(parts)
        assert driver.wait(PATIENCE) == 0, said(place, "worker.csv")
    found = [row["path"] for row in rows(place / "worker.csv")]
    assert len(found) == len(set(found)) == ARCHIVES * PICTURES
    assert (place / "worker.csv").read_bytes() == (place / "one.csv").read_bytes()
    assert not parts.exists()


def test_a_killed_run_is_resumed_by_its_parts(place: Path) -> None:
    table, parts = place / "run.csv", place / "run.csv.parts"
    with started(place, "run.csv", "--ray") as driver:
        worker = stopped_amid_a_part(driver, parts)
    os.kill(worker, signal.SIGCONT)
    assert not table.exists()
    kept = finished(parts)
    assert 3 <= len(kept) < ARCHIVES
    whole = {row["path"]: row for row in rows(place / "one.csv")}
    for part in kept:  # a part under its final name is a whole one
        found = rows(part)
        assert len(found) == PICTURES
        assert all(row == whole[row["path"]] for row in found)
    assert exit_code(place, "run.csv", "--ray") == 2
    assert "continue it with --resume" in said(place, "run.csv")
    assert not table.exists()
    assert exit_code(place, "run.csv", "--ray", "--resume") == 0, said(place, "run.csv")
    told = re.search(rf"(\d+) of {ARCHIVES} parts are finished already", said(place, "run.csv"))
    assert told
    assert len(kept) <= int(told[1]) < ARCHIVES
    assert table.read_bytes() == (place / "one.csv").read_bytes()
    assert not parts.exists()
