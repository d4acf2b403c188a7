"""Which network a folder gets: where candidates are tried, and which is taken."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from knowbound.building.frozen import Embedded, FrozenParts
from knowbound.data.preprocessing import Preprocessing
from knowbound.detectors import KNearest
from knowbound.workflows import network_choice
from knowbound.workflows.audition.audition import Audition
from knowbound.workflows.audition.heads import Surveyed
from knowbound.workflows.audition.survey import Survey
from knowbound.workflows.audition.trial import Head, Trial
from tests.workflows.photographs import planned, write_photographs

pytestmark = pytest.mark.usefixtures("shared_cache")


def trial(name: str, accuracy: float, novelty: float | None, trained: float = 1.0) -> Trial:
    return Trial(name, 32, "tried", accuracy, novelty, 1.0, trained)


def no_trial(*args: Any, **settings: Any) -> Trial:
    raise AssertionError("nothing was to be tried")


def test_nothing_is_tried_where_nothing_can_come_of_it(
    tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_choice, "survey_heads", no_trial)
    grey = tmp_path / "grey"
    for path in photographs.glob("*/*.png"):
        (grey / path.parent.name).mkdir(parents=True, exist_ok=True)
        Image.open(path).convert("L").resize((20, 20)).save(grey / path.parent.name / path.name)
    held = planned(grey).audition
    assert (held.chosen, held.lines) == ("lenet", ())
    for asked in ({"steps": 5}, {"objective": "ce"}, {"size": 32}, {"audition": 0.0}):
        assert planned(photographs, **asked).audition == Audition("wrn-16-2", "")
    monkeypatch.setattr(network_choice, "has_weights", lambda name: False)
    (line,) = planned(photographs).audition.lines
    assert "100 x 80 pixels" in line
    assert "pip install 'knowbound[photographs]'" in line
    small = write_photographs(tmp_path / "small", 4, size=40)
    assert planned(small).audition.lines == ()


def survey_giving(marks: dict[str, float]) -> Any:
    """Stands for ``survey_heads``: a head of a mark by the network's name, and a worse one."""

    def surveyed(frozen: Any, images: Any, *rest: Any) -> list[Surveyed]:
        mark = marks[frozen.name]
        heads = ((Head("mean", "nearest_centre"), mark - 0.1), (Head("mean", "k_nearest"), mark))
        return [
            Surveyed(
                frozen,
                head,
                images,
                cast(Embedded, None),
                Survey(it, it, np.arange(4), np.zeros(32, dtype=bool)),
                Trial(frozen.name, frozen.side, f"frozen, {head}", it, it, 1.0),
            )
            for head, it in heads
        ]

    return surveyed


def test_auto_takes_what_does_better(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_choice, "survey_heads", survey_giving({"efficientnet-lite0": 0.9}))
    monkeypatch.setattr(
        network_choice, "try_frozen", lambda *rest: trial("efficientnet-lite0", 0.9, 0.9)
    )
    monkeypatch.setattr(
        network_choice, "try_trained", lambda *rest: trial("wrn-16-2", 0.5, 0.5, 0.1)
    )
    taken = planned(photographs)
    assert isinstance(taken.parts, FrozenParts)
    assert isinstance(taken.parts.detector, KNearest)
    assert taken.parts.frozen.network.settings["pooling"] == "mean"
    assert taken.audition.head == Head("mean", "k_nearest")
    assert taken.summary[2] == "Heads on frozen networks, each class in turn left out:"
    assert "lite0, 160 pixels, frozen, nearest_centre on mean features" in taken.summary[3]
    assert taken.parts.preprocessing == Preprocessing(160, 160, 3, fit="crop")
    assert any(
        line.startswith("Audition on 6 held-out pictures and 8 of") for line in taken.summary
    )
    monkeypatch.setattr(
        network_choice, "try_trained", lambda *rest: trial("wrn-16-2", 1.0, 0.9, 0.1)
    )
    assert planned(photographs).parts.preprocessing == Preprocessing(32, 32, 3)
