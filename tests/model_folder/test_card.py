"""The card says what the description says, whatever that lacks."""

import json
from pathlib import Path
from typing import Any

import pytest

from knowbound.model_folder.card import CARD, CITATION, FACTS, card_facts, card_text, write_card

DESCRIPTION: dict[str, Any] = {
    "knowbound": "0.1.0",
    "class_names": ["stop", "give|way"],
    "preprocessing": {"width": 32, "height": 24, "channels": 3},
    "backbone": {"name": "wrn-16-2", "settings": {}},
    "detector": {"name": "nearest_centre", "settings": {}},
    "promise": {
        "range": [0.91, 0.98],
        "images": 412,
        "sentence": "between 91% and 98% of new known images will be accepted",
    },
    "about": {
        "objective": "odm",
        "date": "2026-11-28",
        "version": "0.1.0",
        "commit": None,
        "settings": {
            "images": 3708,
            "groups": "copies, tracks",
            "outliers": [600, 1400],
            "audition": {"reason": "Network: wrn-16-2; it has 94% on average."},
            "synthetic_outliers": {"images": {"composed": 6000, "changed copies": 5000}},
        },
        "data_sha256": {"known": "ab12"},
        "measured": {
            "images": 412,
            "accuracy": 0.995,
            "accuracy_accepted": 1.0,
            "accepted": 0.952,
            "acceptance": 0.95,
            "by_class": {
                "stop": {"count": 300, "accepted": 0.97},
                "give|way": {"count": 112, "accepted": 0.9},
            },
        },
    },
}


def test_the_card_says_what_is_known() -> None:
    text = card_text(card_facts(DESCRIPTION))
    for words in (
        "2 classes: stop, give\\|way.",
        "3,708 pictures of these classes",
        "2,000 pictures of other things",
        "11,000 outliers made from the pictures themselves",
        "colour images of 32 x 24 pixels",
        "the network wrn-16-2, the detector nearest_centre, the objective ODM",
        "- Tried on these pictures. Network: wrn-16-2; it has 94% on average.",
        "Trained on 2026-11-28, by knowbound 0.1.0.",
        "99.5% get their class, nothing rejected; 100.0% of the accepted ones",
        "95.2% are accepted at the acceptance that it was trained for, 95.0%",
        "Between 91% and 98% of new known images will be accepted.",
        CITATION,
    ):
        assert words in text, words
    rows = [line for line in text.splitlines() if line.startswith("| ") and "%" in line]
    assert rows == ["| give\\|way | 112 | 90.0% |", "| stop | 300 | 97.0% |"]


def test_of_few_pictures_the_card_says_that_all_were_learned_from() -> None:
    about = DESCRIPTION["about"]
    measured = {**about["measured"], "in_turn": True}
    text = card_text(card_facts({**DESCRIPTION, "about": {**about, "measured": measured}}))
    assert "412 pictures, each left out in turn" in text
    assert "which it did not learn from:" not in text
    assert "The promise is a guide" in text


def test_the_facts_are_the_description() -> None:
    facts = card_facts(DESCRIPTION)
    assert facts["knows"] == DESCRIPTION["class_names"]
    assert facts["promise"] == DESCRIPTION["promise"]
    assert facts["measured"] == DESCRIPTION["about"]["measured"]
    assert facts["learned_from"]["data_sha256"] == {"known": "ab12"}


@pytest.mark.parametrize("missing", [*DESCRIPTION, "everything"])
def test_what_is_missing_is_left_out(missing: str, tmp_path: Path) -> None:
    kept = {k: v for k, v in DESCRIPTION.items() if k != missing and missing != "everything"}
    write_card(tmp_path, kept)
    text = (tmp_path / CARD).read_text(encoding="utf-8")
    assert "None" not in text
    assert text.count("## ") == 6
    assert json.loads((tmp_path / FACTS).read_text(encoding="utf-8")) == card_facts(kept)


def test_an_older_model_has_its_range_in_words() -> None:
    promise = {"range": [0.91, 0.98], "images": 412}
    text = card_text(card_facts({**DESCRIPTION, "promise": promise}))
    assert "Between 91.0% and 98.0% of new known pictures will be accepted (412" in text


def test_a_class_cannot_break_the_table_or_the_terminal() -> None:
    strange = {**DESCRIPTION, "class_names": ["a\nb", "\x1b[31mred", "grün"]}
    text = card_text(card_facts(strange))
    assert r"3 classes: a\nb, \x1b[31mred, grün." in text
