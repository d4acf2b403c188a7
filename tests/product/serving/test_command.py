"""``knowbound serve`` reads its arguments, and refuses before anything is loaded."""

from pathlib import Path

import pytest

from knowbound.cli.app import app
from knowbound.cli.serving import TOKEN, _by_name
from knowbound.errors import UserError


def refused(*words: object) -> str:
    with pytest.raises(UserError) as caught:
        app(["serve", *map(str, words)], standalone_mode=False)
    return str(caught.value)


def test_names_of_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.v2").mkdir()
    (tmp_path / "a=b.onnx").write_bytes(b"")
    given = [Path(one) for one in ("signs.onnx", "runs/cars/", "x=signs.onnx", "model.v2")]
    assert _by_name([*given, Path("a=b.onnx")]) == {
        "signs": Path("signs.onnx"),
        "cars": Path("runs/cars"),
        "x": Path("signs.onnx"),
        "model.v2": Path("model.v2"),
        "a=b": Path("a=b.onnx"),
    }
    for twice in (("a/m", "b/m"), ("m=a", "m=b")):
        with pytest.raises(UserError, match="two models have the name 'm'"):
            _by_name([Path(one) for one in twice])
    with pytest.raises(UserError, match="NAME=PATH"):
        _by_name([Path("=a")])


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    missing = tmp_path / "missing.onnx"
    assert "missing.onnx cannot be read" in refused(missing, "--port", 0)
    assert "--token-file" in refused(missing, "--host", "0.0.0.0")
    assert "cannot be read" in refused(missing, "--token-file", tmp_path / "none")
    (tmp_path / "token").write_text("short\n")
    assert "16" in refused(missing, "--token-file", tmp_path / "token")
    assert "--keep-gb" in refused(missing, "--keep-gb", 0)
    assert "--queue" in refused(missing, "--queue", 10)
    monkeypatch.setenv(TOKEN, "0123456789abcdef")
    assert "missing.onnx" in refused(missing, "--host", "0.0.0.0", "--port", 0)
