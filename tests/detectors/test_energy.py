"""Free energy against its sum written out."""

import math

import pytest
import torch

from knowbound.detectors.energy import Energy

LOGITS = torch.tensor(
    [[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [-5.0, -4.0, -6.0], [800.0, 790.0, -900.0]]
)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_against_the_sum_written_out(temperature: float) -> None:
    expected = []
    for row in LOGITS.tolist():
        top = max(row)
        expected.append(
            -(top + temperature * math.log(sum(math.exp((z - top) / temperature) for z in row)))
        )
    detector = Energy(temperature).fit(LOGITS, torch.tensor([0, 1, 1, 2]))
    torch.testing.assert_close(detector.score(LOGITS), torch.tensor(expected, dtype=torch.float64))
    assert detector.classify(LOGITS).tolist() == [0, 0, 1, 0]


def test_differences_beyond_float32_are_kept() -> None:
    logits = torch.tensor([[100.0, 0.0], [100.0, 80.0]])  # 100 + log(1 + e^-20) is 100 in float32
    surer, less_sure = Energy().fit(logits, torch.tensor([0, 1])).score(logits)
    assert less_sure < surer


def test_settings_and_labels_are_checked() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Energy(0.0)
    with pytest.raises(ValueError, match="one column for each class"):
        Energy().fit(LOGITS, torch.tensor([0, 1, 2, 3]))
