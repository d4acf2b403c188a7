"""Ray Data against one process: the same table, and a mistake is still one sentence."""

from pathlib import Path

import pytest

from knowbound.data.pictures import parts as parts_module
from knowbound.errors import UserError
from knowbound.product.ray_data import judge_parts
from knowbound.workflows.kept_parts import kept_parts, write_part
from knowbound.workflows.predict import find_inputs
from tests.boundary.test_boundary import boundary
from tests.samples import blobs, write_folder

pytest.importorskip("ray", reason="Ray is not installed; pip install 'knowbound[ray]'")


def test_the_table_is_that_of_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "PART", 8)
    made = boundary()
    made.save(tmp_path / "model")
    write_folder(tmp_path / "in", blobs(per_class=9, seed=7))
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    monkeypatch.chdir(tmp_path)  # relative paths stay as given
    parts, model = find_inputs(["in"]).parts, Path("model")
    assert len(parts) == 4
    with kept_parts(Path("one.csv"), parts, model) as kept:
        for number in kept.missing():
            write_part(made, parts[number], kept.path(number))
        kept.join()
    rows: list[int] = []
    with kept_parts(Path("ray.csv"), parts, model) as kept:
        write_part(made, parts[1], kept.path(1))  # one is finished already
        before = kept.path(1).stat().st_mtime_ns
        judge_parts(model, parts, kept, on_part=rows.append)
        assert kept.path(1).stat().st_mtime_ns == before
        assert kept.missing() == []
        kept.join()
    assert sorted(rows) == [4, 8, 8]
    assert Path("ray.csv").read_bytes() == Path("one.csv").read_bytes()
    with (
        kept_parts(Path("none.csv"), parts, model) as kept,
        pytest.raises(UserError, match="no cluster of Ray at 127.0.0.1:1"),
    ):
        judge_parts(model, parts, kept, address="127.0.0.1:1")
