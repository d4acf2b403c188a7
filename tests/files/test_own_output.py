"""No output replaces what another program, or a person, wrote."""

import json
from pathlib import Path

import pytest

from knowbound.errors import UserError
from knowbound.files.own_output import check_overwrite, is_output

OURS = {
    "a.csv": b"path,verdict,class,nearest_class,score,threshold,error,remark\na.png,known,a\n",
    "excel.csv": b"\xef\xbb\xbfpath,verdict,class\n",
    "a.jsonl": b'{"path": "a.png", "verdict": "known"}\n',
    "rows.jsonl": b'{"experiment": "evaluate", "auroc": 0.5}\n',
    "a.parquet": b"PAR1" + bytes(200_000) + b"verdict nearest_class PAR1",
    "model.json": json.dumps({"format": "knowbound-model"}, indent=2).encode(),
    "report.html": b'<!doctype html>\n<html><head>\n<meta name="generator" content="knowbound">',
    "empty.csv": b"",
}
THEIRS = {
    "list.csv": b"path,class\na.png,cat\n",
    "plain.csv": b"a.png\nb.png\n",
    "a.jsonl": b'{"image": "a.png"}\n',
    "a.parquet": b"PAR1" + bytes(1000) + b"PAR1",
    "model.json": b'{"format": "other"}',
    "report.html": b"<!doctype html><html><p>knowbound is good</p></html>",
    "notes.txt": b"path,verdict,",
    "a.csv": b"id,path,verdict,\n",
}


@pytest.mark.parametrize("name", OURS)
def test_our_own_outputs_are_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(OURS[name])
    check_overwrite(tmp_path / name)


@pytest.mark.parametrize("name", THEIRS)
def test_all_others_only_where_asked(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(THEIRS[name])
    assert not is_output(path)
    with pytest.raises(UserError, match="is there already, and not an output of knowbound"):
        check_overwrite(path)
    check_overwrite(path, overwrite=True)
    assert path.read_bytes() == THEIRS[name]


def test_an_input_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(OURS["a.csv"])
    (tmp_path / "link.csv").symlink_to(tmp_path / "a.csv")
    for output in ("a.csv", "link.csv", "../" + tmp_path.name + "/a.csv"):
        with pytest.raises(UserError, match="is an input as well"):
            check_overwrite(tmp_path / output, overwrite=True, inputs=[tmp_path / "a.csv"])
    check_overwrite(tmp_path / "b.csv", inputs=[tmp_path / "a.csv"])


def test_folders_and_forbidden_places(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        check_overwrite(tmp_path, overwrite=True)
    with pytest.raises(UserError, match="too long"):
        check_overwrite(tmp_path / ("n" * 300 + ".csv"))
    check_overwrite(tmp_path / "new" / "a.csv")
