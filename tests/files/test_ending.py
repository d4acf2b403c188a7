"""An output's name says its format, or one sentence says what was expected."""

from pathlib import Path

import pytest

from knowbound.errors import UserError
from knowbound.files.ending import check_ending


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()

    def said(name: str, *, besides: str = "") -> str:
        with pytest.raises(UserError) as caught:
            check_ending(Path(name), (".csv", ".jsonl"), besides=besides)
        return str(caught.value)

    assert said("a.txt") == "a.txt ends in '.txt'; expected .csv, .jsonl"
    assert said("table", besides="or -") == "table has no ending; expected .csv, .jsonl, or -"
    assert said("out") == ("out is a folder; give the name of a file to write, such as out/out.csv")
    check_ending(Path("new/a.jsonl"), (".csv", ".jsonl"))
