"""Anchors, positives and negatives, by loops; blocks give what one piece gives."""

import pytest
import torch
from torch import Tensor

from knowbound.objectives import Angular, Ranking, SemihardTriplet, Triplet, anchors
from knowbound.objectives.anchors import log_sum_exp, mean_over_triplets, negatives, positive_pairs
from knowbound.objectives.objective import MetricObjective
from tests.objectives import loops
from tests.objectives.loops import LABELS, batch


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
def test_positives_and_negatives_are_those_of_loops(labels: list[int]) -> None:
    given = torch.tensor(labels, dtype=torch.int64)
    found = list(zip(*(index.tolist() for index in positive_pairs(given)), strict=True))
    assert found == loops.pairs(labels)
    once = zip(*(i.tolist() for i in positive_pairs(given, both_ways=False)), strict=True)
    assert list(once) == [(i, j) for i, j in loops.pairs(labels) if i < j]
    apart = negatives(given)
    for anchor, label in enumerate(labels):
        expected = loops.others(labels, anchor) if label >= 0 else []
        assert apart[anchor].nonzero()[:, 0].tolist() == expected


def test_an_out_of_distribution_image_is_a_negative_alone() -> None:
    labels = torch.tensor([-1, 0, -1, 0, -2])
    anchor, positive = positive_pairs(labels)
    assert set(anchor.tolist()) | set(positive.tolist()) == {1, 3}
    assert negatives(labels)[[0, 2, 4]].sum() == 0
    assert negatives(labels)[1].tolist() == [True, False, True, False, True]


def test_log_sum_exp_of_nothing_is_hugely_negative_and_has_a_gradient() -> None:
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    found = log_sum_exp(values, torch.tensor([[True, True], [False, False]]))
    assert found[0].item() == pytest.approx(torch.tensor([1.0, 2.0]).logsumexp(0).item())
    assert found[1] < -1e30
    found.sum().backward()
    assert values.grad is not None
    assert values.grad[1].tolist() == [0, 0]


@pytest.mark.parametrize("block", [1, 30, 200])
@pytest.mark.parametrize("objective", [Triplet(), Ranking(), SemihardTriplet(1.0), Angular()])
def test_blocks_change_neither_loss_nor_gradient(
    objective: MetricObjective, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    embeddings, labels = batch([0, 0, 1, 2, -1, 1, -2, -1, 2, 0, 0, 1])
    whole = objective(embeddings, labels)
    (expected,) = torch.autograd.grad(whole, embeddings)
    monkeypatch.setattr(anchors, "BLOCK", block)
    found = objective(embeddings, labels)
    (gradient,) = torch.autograd.grad(found, embeddings)
    assert found.item() == pytest.approx(whole.item(), rel=1e-12)
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-14)


def test_no_tensor_of_all_triplets_is_kept_for_the_backward_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(anchors, "BLOCK", 1000)
    labels = torch.arange(60) % 3
    values = torch.randn(60, 60, requires_grad=True)
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        mean_over_triplets(lambda a, p: (values[a].exp(), negatives(labels)[a]), labels)
    assert sum(kept) < 60 * 19 * 60  # all triplets with an image of the class
