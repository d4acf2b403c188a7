"""Several processes say what one says, in order, and none of them outlives the first."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from knowbound.boundary.boundary import BATCH, Boundary
from knowbound.cli import main
from knowbound.data.pictures.folder import FolderPixels, read_folder
from knowbound.data.source import Source
from knowbound.errors import UserError
from knowbound.product.sharding import PART, Shards, judge_sharded, predict_sharded, shards
from knowbound.workflows.predict import find_inputs, predict_files
from tests.boundary.test_boundary import boundary
from tests.samples import blobs, write_folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and pictures of which one cannot be read."""
    root = tmp_path_factory.mktemp("sharding")
    boundary().save(root / "model")
    write_folder(root / "in", blobs(per_class=4, seed=7))
    (root / "in" / "place 1" / "broken.png").write_bytes(b"\x89PNG nothing")
    return root


@pytest.fixture(scope="module")
def two(place: Path) -> Iterator[Shards]:
    with Shards(place / "model", 2, threads=1) as workers:
        yield workers


@pytest.mark.parametrize(
    ("count", "workers"),
    [(0, 3), (1, 4), (7, 2), (8, 3), (1024, 2), (1025, 2), (3000, 5), (100_000, 3)],
)
def test_parts_are_contiguous_equal_and_cover_everything(count: int, workers: int) -> None:
    parts = [list(range(count))[part] for part in shards(count, workers)]
    assert [index for part in parts for index in part] == list(range(count))
    assert len({len(part) for part in parts[:-1]}) <= 1
    assert all(0 < len(part) <= PART for part in parts)
    if count >= workers * PART:  # the batches of one process
        assert all(part[0] % BATCH == 0 for part in parts)


def test_files_get_the_rows_of_one_process_in_order(place: Path, two: Shards) -> None:
    paths = find_inputs([place / "in"])
    paths = [*reversed(paths), *paths]
    expected = list(predict_files(Boundary.load(place / "model"), paths))
    found = list(two.predict(paths))
    assert [row.path for row in found] == [str(path) for path in paths]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.score == (
            None if theirs.score is None else pytest.approx(theirs.score, abs=1e-5)
        )
        assert [
            getattr(ours, n)
            for n in ("verdict", "class_name", "nearest_class", "threshold", "error", "remark")
        ] == [
            getattr(theirs, n)
            for n in ("verdict", "class_name", "nearest_class", "threshold", "error", "remark")
        ]
    assert sum(bool(row.error) for row in found) == 2
    assert list(two.predict([])) == []


@pytest.mark.parametrize("count", [PART + 101, 5, 0])
def test_a_source_gets_the_judgement_of_one_process(count: int, place: Path, two: Shards) -> None:
    source = blobs(per_class=250, seed=3).take(np.random.default_rng(0).permutation(750)[:count])
    one, ours = boundary().judge_source(source), two.judge(source)
    for name in ("embeddings", "scores"):
        assert getattr(ours, name).shape == getattr(one, name).shape
        assert getattr(ours, name).dtype == getattr(one, name).dtype
        np.testing.assert_allclose(getattr(ours, name), getattr(one, name), atol=1e-5, rtol=0)
    np.testing.assert_array_equal(ours.decisions, one.decisions)
    np.testing.assert_array_equal(ours.nearest, one.nearest)


def test_images_in_files_are_judged_too(place: Path, two: Shards) -> None:
    read = read_folder(place / "in", boundary().preprocessing, classes=True, memory_limit=0)
    assert isinstance(read.source.pixels, FolderPixels)
    shuffled = read.source.take(np.random.default_rng(1).permutation(len(read.source)))
    np.testing.assert_allclose(
        two.judge(shuffled).scores, boundary().judge_source(shuffled).scores, atol=1e-5
    )


def test_an_error_in_a_worker_is_the_users_error_and_the_others_go_on(
    place: Path, two: Shards
) -> None:
    wrong = Source("wrong", np.zeros((4, 1, 8, 8), dtype=np.uint8), np.full(4, -1))
    with pytest.raises(ValueError, match="expected"):
        two.judge(wrong)
    assert len(two.judge(blobs(per_class=2)).scores) == 6


def test_a_model_or_number_that_cannot_be(place: Path) -> None:
    with pytest.raises(UserError, match="0 workers were asked for"):
        judge_sharded(place / "model", blobs(), 0)
    with pytest.raises(UserError, match="there is no model in"):
        judge_sharded(place / "missing", blobs(), 1)
    with pytest.raises(UserError, match="there is no model in"):
        predict_sharded(place / "missing", [place], 1)  # not only when the first row is asked for


def test_the_command_line_tells_what_a_killed_worker_means(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table holds the rows that came before; the rest is one sentence."""
    before = set(multiprocessing.active_children())
    table = place / "rows.jsonl"

    def predict_and_kill(model: Path, paths: list[Path], workers: int) -> Iterator[object]:
        rows = predict_sharded(
            model, paths * 20_000, workers
        )  # so many that they are never done before the kill
        yield next(rows)
        started = [
            process for process in multiprocessing.active_children() if process not in before
        ]
        assert len(started) == workers
        os.kill(started[0].pid or 0, signal.SIGKILL)
        started[0].join()
        yield from rows

    monkeypatch.setattr("knowbound.product.sharding.predict_sharded", predict_and_kill)
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "knowbound",
            "predict",
            *map(str, (place / "model", place / "in", "-o", table, "--workers", 2)),
        ],
    )
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "one of the 2 workers died" in " ".join(capsys.readouterr().err.split())
    assert len(table.read_text().splitlines()) >= 1
    assert set(multiprocessing.active_children()) == before


ENDLESS = """
import multiprocessing, signal, sys
from pathlib import Path
from knowbound.product.sharding import predict_sharded

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it starts in the background ignore Ctrl-C
    rows = predict_sharded(Path(sys.argv[1]), [Path(sys.argv[2])] * 10**6, 2)
    next(rows)
    print(*(process.pid for process in multiprocessing.active_children()), flush=True)
    for row in rows:
        pass
"""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for the workers in /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_workers_end_with_the_first_process(how: signal.Signals, place: Path) -> None:
    (place / "endless.py").write_text(ENDLESS)
    picture = find_inputs([place / "in"])[0]
    process = subprocess.Popen(
        [sys.executable, str(place / "endless.py"), str(place / "model"), str(picture)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    workers = [Path("/proc") / pid for pid in process.stdout.readline().split()]
    assert len(workers) == 2
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does: to all of them
    else:
        process.kill()
    errors = process.communicate(timeout=60)[1]
    deadline = time.monotonic() + 30
    while any(_lives(worker) for worker in workers):
        assert time.monotonic() < deadline, f"{workers} outlived the process that started them"
        time.sleep(0.05)
    assert errors.count("Traceback") == (1 if how == signal.SIGINT else 0), (
        errors
    )  # of the script alone, not of workers


def _lives(process: Path) -> bool:
    try:
        return "\nState:\tZ" not in (process / "status").read_text()
    except OSError:
        return False
