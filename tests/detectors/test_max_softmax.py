"""Max softmax, by hand and where float32 ties."""

import math

import pytest
import torch

from knowbound.detectors import MaxSoftmax


def test_score_is_minus_log_of_the_largest_probability() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    detector = MaxSoftmax().fit(logits, torch.tensor([0, 2]))
    exact = -math.log(math.exp(2) / (math.exp(1) + math.exp(2) + 1))
    assert detector.score(logits).tolist() == pytest.approx([exact, math.log(3)])
    assert detector.classify(logits).tolist()[0] == 1


def test_confident_images_do_not_tie() -> None:
    logits = torch.tensor([[100.0, 0.0], [101.0, 0.0], [200.0, 0.0]])
    scores = MaxSoftmax().fit(logits, torch.tensor([0, 1])).score(logits)
    assert len(set(scores.tolist())) == 3  # as float32 probabilities, all three are 1.0
    assert scores[0] > scores[1] > scores[2] > 0


@pytest.mark.parametrize("columns", [2, 32])
def test_not_one_column_for_each_class_is_an_error(columns: int) -> None:
    with pytest.raises(ValueError, match="one column for each class"):
        MaxSoftmax().fit(torch.randn(3, columns), torch.tensor([0, 1, 2]))
