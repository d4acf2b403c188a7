"""A run that was cut off goes on where it was: every part whole, every row once."""

import dataclasses
import re
import shutil
import sys
import tarfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knowbound.boundary import Boundary
from knowbound.data.pictures import parts as parts_module
from knowbound.errors import UserError
from knowbound.judgement import Judgement, Verdict
from knowbound.workflows.kept_parts import kept_parts, write_part
from knowbound.workflows.predict import Counted, find_inputs, predict_parts
from knowbound.workflows.tables import read_decisions, read_table, table_writer
from tests.boundary.test_boundary import boundary
from tests.samples import blobs, write_folder


@dataclasses.dataclass
class Dying:
    """A judge that dies when it is asked the ``last`` time."""

    model: Boundary
    last: int = -1
    asked: int = 0

    @property
    def preprocessing(self) -> Any:
        return self.model.preprocessing

    def judge(self, images: "np.ndarray[Any, Any]", /) -> Judgement[Any]:
        self.asked += 1
        if self.asked == self.last:
            raise KeyboardInterrupt
        return self.model.judge(images)

    def verdicts(self, judgement: Judgement[Any], /) -> list[Verdict]:
        return self.model.verdicts(judgement)


@pytest.fixture(scope="module")
def model() -> Boundary:
    return boundary()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, model: Boundary) -> Path:
    """A model, and 17 pictures of which one cannot be read: in a folder and in a shard."""
    root = tmp_path_factory.mktemp("kept")
    model.save(root / "model")
    write_folder(root / "in", blobs(per_class=4, seed=7))
    (root / "in" / "broken.png").write_bytes(b"no picture")
    with tarfile.open(root / "shard.tar", "w") as shard:
        for path in sorted((root / "in" / "place 1").iterdir()):
            shard.add(path, path.name)
    return root


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "PART", 4)


def inputs(place: Path) -> Sequence[parts_module.Part]:
    return find_inputs([place / "shard.tar", place / "in"]).parts


def run(
    place: Path, table: Path, judge: Dying, fdr: float | None = None, **options: Any
) -> Counted:
    with kept_parts(table, inputs(place), place / "model", **options) as kept:
        for number in kept.missing():
            write_part(judge, inputs(place)[number], kept.path(number))
        assert kept.rows() == 17
        return kept.join(fdr=fdr, domain_threshold=judge.model.domain_threshold)


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_a_killed_run_resumes_and_every_row_is_there_once(
    ending: str, place: Path, tmp_path: Path, model: Boundary
) -> None:
    with table_writer(tmp_path / f"plain{ending}") as write:
        for row in predict_parts(model, inputs(place)):
            write(row)
    table, folder = tmp_path / f"out{ending}", tmp_path / f"out{ending}.parts"
    with pytest.raises(KeyboardInterrupt):
        run(place, table, Dying(model, last=3))
    assert not table.exists()
    names = {path.name for path in folder.iterdir()}
    assert names == {"plan.json", f"part-000000{ending}", f"part-000001{ending}"}
    (folder / f".part-000002.0a.partial{ending}").write_bytes(b"half")  # what kill -9 leaves
    before = (folder / f"part-000001{ending}").stat().st_mtime_ns
    resumed = Dying(model)
    with kept_parts(table, inputs(place), place / "model", resume=True) as kept:
        assert kept.missing() == [2, 3, 4]
    assert (folder / f"part-000001{ending}").stat().st_mtime_ns == before
    counted = run(place, table, resumed, resume=True)
    assert resumed.asked == 3  # two parts are not judged again
    if ending == ".parquet":
        pq = pytest.importorskip("pyarrow.parquet")
        plain, found = (pq.read_table(p).to_pylist() for p in (tmp_path / f"plain{ending}", table))
        assert found == plain
    else:
        assert table.read_bytes() == (tmp_path / f"plain{ending}").read_bytes()
    assert not folder.exists()
    assert counted.total == 17
    assert counted.counts["error"] == 1
    assert list(read_table(table)) == list(predict_parts(model, inputs(place)))
    said = [row.verdict.decision if row.verdict else "" for row in read_table(table)]
    assert list(read_decisions(table)) == said
    assert counted.counts == {
        **dict.fromkeys(counted.counts, 0),
        **Counter(w or "error" for w in said),
    }


def test_parts_can_be_decided_on_together(place: Path, tmp_path: Path, model: Boundary) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(place, tmp_path / "out.csv", Dying(model, last=3))
    counted = run(place, tmp_path / "out.csv", Dying(model), fdr=0.4, resume=True)
    rows = list(predict_parts(model, inputs(place), fdr=0.4))
    assert list(read_table(tmp_path / "out.csv")) == rows
    assert rows != list(predict_parts(model, inputs(place)))
    assert counted.counts["error"] == 1 == sum(row.verdict is None for row in rows)


def test_parts_of_another_run_are_neither_mixed_nor_lost(
    place: Path, tmp_path: Path, model: Boundary
) -> None:
    table = tmp_path / "out.csv"
    with pytest.raises(KeyboardInterrupt):
        run(place, table, Dying(model, last=2))
    with pytest.raises(UserError, match=r"was cut off; continue it with --resume"):
        run(place, table, Dying(model))
    shutil.copytree(place / "model", tmp_path / "other")
    with (tmp_path / "other" / "model.json").open("a") as file:
        file.write(" ")
    shard = [place / "shard.tar"]
    for parts, folder, words in (
        (inputs(place), tmp_path / "other", "are of another model"),
        (find_inputs(shard).parts, place / "model", "are of other pictures"),
    ):
        with (
            pytest.raises(UserError, match=words),
            kept_parts(table, parts, folder, resume=True),
        ):
            pass
    own = tmp_path / "out.csv.parts" / "mine.txt"
    own.write_text("mine")
    assert (tmp_path / "out.csv.parts" / "part-000000.csv").exists()
    assert run(place, table, Dying(model), overwrite=True).total == 17
    assert [path.name for path in own.parent.iterdir()] == ["mine.txt"]
    with pytest.raises(UserError, match="holds no parts of a table"):
        run(place, table, Dying(model))


def test_one_run_at_a_time_and_no_table_of_others_is_replaced(place: Path, tmp_path: Path) -> None:
    table = tmp_path / "out.csv"
    with (
        kept_parts(table, inputs(place), place / "model"),
        pytest.raises(UserError, match="in use by another run"),
        kept_parts(table, inputs(place), place / "model", overwrite=True),
    ):
        pass
    assert not (tmp_path / "out.csv.parts").exists()  # no part was finished
    table.write_text("name,price\nmine,1\n")
    with (
        pytest.raises(UserError, match="not an output of knowbound"),
        kept_parts(table, inputs(place), place / "model"),
    ):
        pass
    assert table.read_text().startswith("name,price")
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_a_link_stays_a_link_to_the_table(place: Path, tmp_path: Path, model: Boundary) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out.csv").symlink_to(tmp_path / "elsewhere" / "real.csv")
    assert run(place, tmp_path / "out.csv", Dying(model)).total == 17
    assert (tmp_path / "out.csv").is_symlink()
    assert len((tmp_path / "elsewhere" / "real.csv").read_text().splitlines()) == 18


def test_a_parquet_table_is_refused_by_its_own_name_where_pyarrow_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    table = tmp_path / "verdicts.parquet"
    with (
        pytest.raises(UserError, match=re.escape(f"{table} needs pyarrow")),
        kept_parts(table, [], tmp_path / "model"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
