"""The adapter: what it gives the library, by loops, and what it refuses."""

import builtins
import math
from typing import Any

import pytest
import torch
from pytorch_metric_learning.losses import MultiSimilarityLoss

from knowbound.errors import UserError
from knowbound.objectives import MetricLearning
from knowbound.objectives.metric_learning import one_class_each, pairs
from tests.objectives import loops
from tests.objectives.loops import LABELS, batch, dot, mean, others, unit


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
def test_pairs_are_those_of_loops(labels: list[int]) -> None:
    anchor, positive, other, negative = (i.tolist() for i in pairs(torch.tensor(labels).long()))
    assert list(zip(anchor, positive, strict=True)) == loops.pairs(labels)
    inside = [i for i, label in enumerate(labels) if label >= 0]
    expected = [(i, n) for i in inside for n in others(labels, i)]
    assert list(zip(other, negative, strict=True)) == expected


def test_no_two_out_of_distribution_images_have_one_label() -> None:
    labels = torch.tensor([-1, 4, -1, 0, -2])
    found = one_class_each(labels).tolist()
    assert (found[1], found[3]) == (4, 0)
    assert len(set(found)) == 5
    assert min(found) == 0


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
def test_multi_similarity_is_that_of_loops(labels: list[int]) -> None:
    """Eq. 15 of Wang et al. (CVPR 2019) without mining; an image without pairs counts 0."""
    embeddings, given = batch(labels)
    x, values = unit(embeddings.tolist()), []
    for i, label in enumerate(labels):
        alike = [dot(x[i], x[j]) for a, j in loops.pairs(labels) if a == i]
        apart = [dot(x[i], x[n]) for n in others(labels, i)] if label >= 0 else []
        pull = math.log(1 + sum(math.exp(-2 * (s - 0.5)) for s in alike)) / 2
        push = math.log(1 + sum(math.exp(50 * (s - 0.5)) for s in apart)) / 50
        values.append(pull + push)
    complete = loops.triplets(labels) or (loops.pairs(labels) and len(set(labels)) > 1)
    expected = mean(values) if complete else 0.0
    assert MetricLearning()(embeddings, given).item() == pytest.approx(expected, rel=1e-9)


def test_without_out_of_distribution_images_it_is_the_library_s_own() -> None:
    embeddings, labels = batch([0, 1, 1, 0, 2, 2])
    expected = MultiSimilarityLoss(alpha=3)(embeddings, labels)
    found = MetricLearning(settings={"alpha": 3})(embeddings, labels)
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)


def test_a_loss_that_it_cannot_be_given_is_refused() -> None:
    with pytest.raises(ValueError, match="'ArcFaceLoss' was asked for; expected one of Angular"):
        MetricLearning("ArcFaceLoss")


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("pytorch_metric_learning"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"install knowbound\[metric-learning\]"):
        MetricLearning()
