"""The names that a user may say are the names that there are."""

import subprocess
import sys
from collections.abc import Iterable
from typing import Any, get_args

import pytest

from knowbound import names
from knowbound.detectors import DETECTORS
from knowbound.objectives import OBJECTIVES


@pytest.mark.parametrize(
    ("literal", "meanings"),
    [
        (names.ObjectiveName, names.OBJECTIVES),
        (names.BackboneName, names.BACKBONES),
        (names.DetectorName, names.DETECTORS),
    ],
    ids=["objectives", "backbones", "detectors"],
)
def test_every_name_has_a_meaning_of_one_line(literal: Any, meanings: dict[str, str]) -> None:
    assert list(get_args(literal)) == list(meanings)
    for meaning in meanings.values():
        assert 0 < len(meaning) <= 90
        assert "\n" not in meaning


@pytest.mark.parametrize(
    ("said", "table"),
    [(names.OBJECTIVES, OBJECTIVES), (names.DETECTORS, DETECTORS)],
    ids=["objectives", "detectors"],
)
def test_names_are_those_of_the_table(said: Iterable[str], table: Iterable[str]) -> None:
    assert sorted(said) == sorted(table)


def test_names_need_no_torch() -> None:
    check = "import sys, knowbound.names; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
