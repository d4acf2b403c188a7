"""What is kept from training is drawn again alike: when it is resumed, and when it is evaluated."""

import json
from pathlib import Path

import numpy as np
import pytest

from knowbound.data.source import Source
from knowbound.errors import UserError
from knowbound.workflows.hold_out import NOTED, HoldOut, check_enough, note_hold_out, resumed

TRAINING = {"images": "a hash", "group_by": "auto"}


def source(per_class: int, classes: int = 8) -> Source:
    labels = np.repeat(np.arange(classes), per_class)
    pixels = np.zeros((len(labels), 1, 2, 2), dtype=np.uint8)
    return Source("known", pixels, labels, tuple(map(str, range(classes))))


def test_groups_stay_together_and_a_quarter_of_them_chooses() -> None:
    known = source(300)
    groups = np.arange(2400) // 3
    held = HoldOut(0, 0.25, 19, choosing=True).draw(known, groups)
    sides = [set(groups[positions].tolist()) for positions in held]
    rest = np.setdiff1d(np.arange(2400), np.concatenate(held))
    sides.append(set(groups[rest].tolist()))
    assert [len(side) for side in sides] == [152, 48, 600]  # 6 of the 25 held out of each class
    assert not sides[0] & sides[1] | sides[1] & sides[2] | sides[0] & sides[2]


def test_where_none_can_be_spared_none_chooses() -> None:
    known, groups = source(20), np.arange(160)
    for hold_out in (HoldOut(0, 0.25, 19, choosing=True), HoldOut(0, 0.9, 19, choosing=False)):
        assert len(hold_out.draw(known, groups).choosing) == 0
    none = HoldOut(0, 0.0, 19, choosing=True).draw(known, groups)
    assert [len(positions) for positions in none] == [0, 0]


def test_a_resumed_training_holds_out_what_it_did_at_first(tmp_path: Path) -> None:
    known, groups = source(40), np.arange(320)
    first, now = HoldOut(3, 0.1, 99, choosing=False), HoldOut(3, 0.1, 19, choosing=False)
    assert not set(now.draw(known, groups).threshold) <= set(first.draw(known, groups).threshold)
    assert resumed(now, TRAINING, tmp_path) == now
    note_hold_out(first, TRAINING, tmp_path)
    assert resumed(now, TRAINING, tmp_path) == first
    assert resumed(now, {**TRAINING, "group_by": "none"}, tmp_path) == now
    assert resumed(HoldOut(4, 0.1, 19, False), TRAINING, tmp_path).seed == 4
    (tmp_path / NOTED).write_text(json.dumps({"hold_out": {"seed": 3}}))
    assert resumed(now, TRAINING, tmp_path) == now


def test_too_few_for_what_is_asked_now_is_said() -> None:
    groups = np.arange(40) // 2
    check_enough(groups, 20)
    with pytest.raises(UserError, match="held out 20 groups.*at least 21.*leave out --resume"):
        check_enough(groups, 21)
