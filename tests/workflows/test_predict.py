"""Rows for files: one each, whatever is wrong."""

import csv
import io
import json
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from PIL import Image

from knowbound.errors import UserError
from knowbound.judgement import Verdict
from knowbound.judgement.false_discovery import novelties_at_fdr
from knowbound.labels import Decision
from knowbound.workflows.predict import (
    COLUMNS,
    NUMBERS,
    Counted,
    Prediction,
    find_inputs,
    predict_parts,
)
from knowbound.workflows.tables import table_writer
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
    inputs = find_inputs([pictures])
    paths = [given.path for part in inputs.parts for given in part.pictures()]
    assert inputs.count == len(paths)
    rows = list(predict_parts(found, inputs.parts))
    assert [row.path for row in rows] == [str(p) for p in paths]
    for row, path in zip(rows, paths, strict=True):
        if path.suffix in (".png", ".bmp") and path.stat().st_size:
            (verdict,) = found.predict([path])
            assert row.verdict is not None
            # batches of another size round otherwise
            assert row.verdict.score == pytest.approx(verdict.score, rel=1e-3)
            assert row.verdict.p_value == pytest.approx(verdict.p_value, abs=0.02)
            for name in ("decision", "class_name", "nearest_class", "threshold"):
                assert getattr(row.verdict, name) == getattr(verdict, name)
            assert row.error == ""
        else:
            assert row.verdict is None
            assert row.error
    assert len(rows) == 9


def test_all_files_are_decided_together(pictures: Path) -> None:
    found = boundary()
    parts = find_inputs([pictures]).parts
    paths = [given.path for part in parts for given in part.pictures()]
    alone, together = (list(predict_parts(found, parts, fdr=fdr)) for fdr in (None, 0.4))
    assert [row.path for row in together] == [row.path for row in alone]
    assert [row.error for row in together] == [row.error for row in alone]
    p_values = [row.verdict.p_value for row in alone if row.verdict]
    unknown = [row.verdict.decision != "known" for row in together if row.verdict]
    assert unknown == novelties_at_fdr(p_values, 0.4).tolist()
    said = [
        v.decision != "known"
        for v in found.predict(
            [p for p in paths if p.stat().st_size and p.suffix != ".txt"], fdr=0.4
        )
    ]
    assert said == unknown
    with pytest.raises(UserError, match="false discovery rate of 2"):
        predict_parts(found, parts, fdr=2)


def test_rows_are_counted_as_they_pass_and_not_kept(pictures: Path) -> None:
    rows = list(predict_parts(boundary(), find_inputs([pictures]).parts))
    slow = Counter(str(row.verdict.decision) if row.verdict else "error" for row in rows)
    counted = Counted()
    passing = counted(iter(rows))
    for row, passed in zip(rows, passing, strict=True):
        assert passed is row
    assert counted.counts == {name: slow[name] for name in ("known", "novelty", "anomaly", "error")}
    assert str(counted) == (
        f"9 files: {slow['known']} known, {slow['novelty']} novelties, {slow['anomaly']} "
        "anomalies, 2 that could not be read"
    )


def test_no_row_stays_in_memory_once_it_has_passed(pictures: Path) -> None:
    """One row after the other: none that has passed is still referred to."""
    passed: list[weakref.ref[Prediction]] = []

    class Row(Prediction):
        __slots__ = ("__weakref__",)

    def rows() -> Iterator[Prediction]:
        for number in range(20):
            row = Row(str(number), None, error="unreadable")
            passed.append(weakref.ref(row))
            yield row
            del row
            assert sum(one() is not None for one in passed) <= 1

    counted = Counted()
    for row in counted(rows()):
        del row
    assert counted.counts["error"] == 20


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_tables_hold_what_the_rows_hold(ending: str, pictures: Path, tmp_path: Path) -> None:
    rows = list(predict_parts(boundary(), find_inputs([pictures]).parts))
    path = tmp_path / "out" / f"table{ending}"
    with table_writer(path) as write:
        for row in rows:
            write(row)
    if ending == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            read = [{k: v or None for k, v in line.items()} for line in csv.DictReader(file)]
        read = [
            {**line, **{k: float(line[k]) if line[k] else None for k in NUMBERS}} for line in read
        ]
    elif ending == ".jsonl":
        read = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    else:
        pq = pytest.importorskip("pyarrow.parquet")
        read = pq.read_table(path).to_pylist()
    assert (
        list(read[0])
        == list(COLUMNS)
        == [
            *("path", "verdict", "class", "nearest_class", "score", "threshold"),
            *("p_value", "domain_score", "error", "remark"),
        ]
    )
    for line, row in zip(read, rows, strict=True):
        said = row.verdict
        assert line["path"] == row.path
        assert (line["error"] or "") == row.error
        if said is None:
            assert all(line[name] is None for name in COLUMNS[1:8])
            continue
        assert (line["verdict"], line["class"]) == (str(said.decision), said.class_name)
        for name in NUMBERS:
            assert line[name] == pytest.approx(getattr(said, name))


def test_a_table_is_written_byte_for_byte_as_by_names(tmp_path: Path) -> None:
    """The slow way: every column by its name, through a writer of dictionaries."""
    said = Verdict(Decision.KNOWN, "a, b", "a, b", 0.1 + 0.2, float("inf"), 1 / 3, float("nan"))
    new = replace(said, decision=Decision.NOVELTY, class_name=None, score=1e-17)
    rows = [
        Prediction('in/"quoted", name.png', said, remark="turned"),
        Prediction("in/b.png", new),
        Prediction("in/c.png", None, error="two\nlines"),
    ]
    with table_writer(tmp_path / "a.csv") as write:
        for row in rows:
            write(row)
    with (tmp_path / "slow.csv").open("w", newline="", encoding="utf-8") as file:
        slow = csv.DictWriter(file, COLUMNS)
        slow.writeheader()
        for row in rows:
            given = {} if row.verdict is None else asdict(row.verdict)
            named = {
                {"decision": "verdict", "class_name": "class"}.get(name, name): value
                for name, value in given.items()
            }
            slow.writerow({"path": row.path, **named, "error": row.error, "remark": row.remark})
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "slow.csv").read_bytes()
    assert [list(row.row()) for row in rows] == [list(COLUMNS)] * 3
    assert rows[1].row()["verdict"] == "novelty"


def test_rows_written_before_an_error_stay(pictures: Path, tmp_path: Path) -> None:
    rows = list(predict_parts(boundary(), find_inputs([pictures]).parts))

    def write_one_and_fail() -> None:
        with table_writer(tmp_path / "table.jsonl") as write:
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
        table_writer(tmp_path / "a.xlsx"),
    ):
        pass
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match="cannot be written"),
        table_writer(tmp_path / "file" / "a.csv"),
    ):
        pass


def test_a_list_on_standard_input(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pictures.parent)
    files = sorted(Path("in").rglob("*.png"))
    lines = "\n".join(["# found", *map(str, files)])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    inputs = find_inputs(["-"])
    assert [one.path for part in inputs.parts for one in part.pictures()] == files
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(UserError, match="standard input names no picture"):
        find_inputs(["-"])


def test_a_full_disk_is_one_sentence(pictures: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full to write to")
    rows = list(predict_parts(boundary(), find_inputs([pictures]).parts))
    link = pictures.parent / "table.csv"
    link.symlink_to(full)

    def write_all() -> None:
        with table_writer(link) as write:
            for row in rows:
                write(row)

    with pytest.raises(UserError, match="no space left on device"):
        write_all()
