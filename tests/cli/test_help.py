"""What a newcomer reads: every command's help on a terminal of 80 columns."""

from collections import defaultdict
from collections.abc import Iterator

import pytest
import typer

from knowbound.cli.app import app
from knowbound.cli.fit import MACHINE, NETWORK, OUTLIERS, PICTURES, PROMISE
from knowbound.names import BACKBONES, DETECTORS, OBJECTIVES

ROOT = typer.main.get_command(app)
OWN_MEANING = {"--data", "--detector", "--output", "--resume", "--scale"}
"""Options that mean something else in another command, and say so."""


def commands(group: typer.core.TyperGroup, *words: str) -> Iterator[tuple[str, ...]]:
    """The words of each command, those of groups included."""
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from commands(command, *words, name)
        yield (*words, name)


WORDS = [(), *commands(ROOT)]


def shown(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        app([*words, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_nothing_is_cut_off_and_no_flag_seems_to_take_a_value(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = shown(words, capsys)
    assert "--help" in text
    assert "…" not in text
    assert "<bool>" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_fit_names_what_there_is_to_choose_under_headings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = shown(("fit",), capsys)
    for name in (*OBJECTIVES, *BACKBONES, *DETECTORS):
        assert f"• {name}: " in text
    headings = [line.split()[1] for line in text.splitlines() if line.startswith("╭")]
    expected = ("Arguments", "Options", OUTLIERS, NETWORK, PICTURES, PROMISE, MACHINE)
    assert headings == [one.split()[0] for one in expected]


def test_an_option_of_several_commands_has_one_text() -> None:
    texts: dict[str, set[str]] = defaultdict(set)
    for words in WORDS:
        command = ROOT
        for word in words:
            command = command.commands[word]
        for param in command.params:
            assert param.help, (words, param.name)
            for name in param.opts:
                if name.startswith("--"):
                    texts[name].add(param.help)
    assert {name for name, said in texts.items() if len(said) > 1} == OWN_MEANING
