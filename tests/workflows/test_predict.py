"""Rows for files: one each, whatever is wrong."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from knowbound.errors import UserError
from knowbound.workflows.predict import (
    COLUMNS,
    count_verdicts,
    find_inputs,
    predict_files,
    prediction_writer,
)
from tests.boundary.test_boundary import boundary
from tests.samples import blobs, write_folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    write_folder(tmp_path / "in", blobs(per_class=2, seed=7))
    (tmp_path / "in" / "empty.png").write_bytes(b"")
    (tmp_path / "in" / "words.txt").write_text("hello")
    Image.new("RGB", (50, 30)).save(tmp_path / "in" / "colour.bmp")
    return tmp_path / "in"


def test_every_file_has_its_row_in_order(pictures: Path) -> None:
    found = boundary()
    paths = find_inputs([pictures])
    rows = list(predict_files(found, paths))
    assert [row.path for row in rows] == [str(p) for p in paths]
    for row, path in zip(rows, paths, strict=True):
        if path.suffix in (".png", ".bmp") and path.stat().st_size:
            (verdict,) = found.predict([path])
            assert (row.verdict, row.class_name, row.nearest_class) == (
                verdict.decision,
                verdict.class_name,
                verdict.nearest_class,
            )
            assert row.score == pytest.approx(
                verdict.score, rel=1e-3
            )  # batches of another size round otherwise
            assert row.error == ""
        else:
            assert (row.verdict, row.score) == (None, None)
            assert row.error
    assert count_verdicts(rows)["error"] == 2
    assert sum(count_verdicts(rows).values()) == len(rows) == 9


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_tables_hold_what_the_rows_hold(ending: str, pictures: Path, tmp_path: Path) -> None:
    rows = list(predict_files(boundary(), find_inputs([pictures])))
    path = tmp_path / "out" / f"table{ending}"
    with prediction_writer(path) as write:
        for row in rows:
            write(row)
    if ending == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            read = [{k: v or None for k, v in line.items()} for line in csv.DictReader(file)]
        read = [
            {**line, **{k: float(line[k]) if line[k] else None for k in ("score", "threshold")}}
            for line in read
        ]
    elif ending == ".jsonl":
        read = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    else:
        pq = pytest.importorskip("pyarrow.parquet")
        read = pq.read_table(path).to_pylist()
    assert (
        list(read[0])
        == list(COLUMNS.values())
        == ["path", "verdict", "class", "nearest_class", "score", "threshold", "error", "remark"]
    )
    for line, row in zip(read, rows, strict=True):
        assert (line["path"], line["verdict"], line["class"]) == (
            row.path,
            row.verdict,
            row.class_name,
        )
        assert line["score"] == (pytest.approx(row.score) if row.score is not None else None)


def test_rows_written_before_an_error_stay(pictures: Path, tmp_path: Path) -> None:
    rows = list(predict_files(boundary(), find_inputs([pictures])))

    def write_one_and_fail() -> None:
        with prediction_writer(tmp_path / "table.jsonl") as write:
            write(rows[0])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_one_and_fail()
    assert len((tmp_path / "table.jsonl").read_text().splitlines()) == 1


def test_inputs_and_outputs_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist; expected a picture"):
        find_inputs([tmp_path / "missing"])
    with pytest.raises(UserError, match="is an empty folder"):
        find_inputs([tmp_path])
    with (
        pytest.raises(UserError, match=r"ends in '.xlsx'; expected .csv, .jsonl, .parquet"),
        prediction_writer(tmp_path / "a.xlsx"),
    ):
        pass
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match="cannot be written"),
        prediction_writer(tmp_path / "file" / "a.csv"),
    ):
        pass


def test_a_full_disk_is_one_sentence(pictures: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full to write to")
    rows = list(predict_files(boundary(), find_inputs([pictures])))
    link = pictures.parent / "table.csv"
    link.symlink_to(full)

    def write_all() -> None:
        with prediction_writer(link) as write:
            for row in rows:
                write(row)

    with pytest.raises(UserError, match="no space left on device"):
        write_all()
