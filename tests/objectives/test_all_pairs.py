"""The loss over all pairs against the plain loss over a list of pairs, at every distance that
float32 holds."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from knowbound.objectives import all_pairs as blocks
from knowbound.objectives.all_pairs import all_pairs_loss
from knowbound.objectives.contrastive import contrastive_loss
from knowbound.objectives.pairs import all_pairs

SMALLEST = float(np.nextafter(np.float32(0), np.float32(1)))


def plain(embeddings: Tensor, labels: Tensor, margin: float, squared: bool) -> tuple[float, Tensor]:
    """Value and gradient over the list of pairs, in float64."""
    exact = embeddings.double().requires_grad_()
    first, second, same = all_pairs(labels)
    value = contrastive_loss(exact[first], exact[second], same, margin, squared=squared)
    (gradient,) = torch.autograd.grad(value, exact)
    return value.item(), gradient


def ours(embeddings: Tensor, labels: Tensor, margin: float, squared: bool) -> tuple[float, Tensor]:
    """Value and gradient of the loss over all pairs."""
    given = embeddings.clone().requires_grad_()
    value = all_pairs_loss(given, labels, margin, squared=squared)
    (gradient,) = torch.autograd.grad(value, given)
    return value.item(), gradient


def apart(distance: float, where: float, dim: int = 3) -> Tensor:
    """Two embeddings (2, D) in float32: one along the last axis from the other, ``where`` along the
    first."""
    pair = torch.zeros(2, dim)
    pair[:, 0] = where
    pair[1, -1] = distance
    return pair


distances = st.one_of(
    st.floats(math.log10(SMALLEST), 1.5).map(lambda e: max(10.0**e, SMALLEST)),
    st.sampled_from([0.0, SMALLEST, 1e-40, 1.2e-38, 1e-30, 1e-15, 1e-7, 1e-6, 1e-3]),
)


@settings(max_examples=200, deadline=None)
@given(distances, st.sampled_from([0.0, 1.0, -300.0]), st.booleans(), st.integers(1, 5))
def test_two_embeddings_are_pushed_apart_at_any_distance(
    distance: float, where: float, squared: bool, block: int
) -> None:
    """The gradient is (margin - D) / 2 pairs along the pair, not less where D is small; 0 at 0."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", block)
        pair = apart(distance, where)
        value, gradient = ours(pair, torch.tensor([0, 1]), 10.0, squared)
    exact = float(pair[1, -1])
    slack = max(0.0, 10.0 - exact)
    push = 0.0 if exact == 0 else (slack if squared else 0.5 * (slack > 0))
    assert value == pytest.approx(0.5 * slack ** (2 if squared else 1), rel=1e-6)
    expected = torch.tensor([[0, 0, push], [0, 0, -push]], dtype=torch.float32)
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=0)


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Embeddings (B, 3) of a few knots of images, each knot tight as the draw has it, and labels."""
    count = draw(st.integers(2, 12))
    knots = torch.tensor(draw(st.lists(st.sampled_from([0.0, 1.0, -5.0]), min_size=3, max_size=3)))
    knot = torch.tensor(draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)))
    sizes = torch.tensor(draw(st.lists(distances, min_size=count, max_size=count)))
    direction = torch.randn(count, 3, generator=torch.Generator().manual_seed(count))
    labels = draw(st.lists(st.integers(-2, 3), min_size=count, max_size=count))
    embeddings = knots[knot][:, None] * torch.ones(3) + sizes[:, None] * direction
    return embeddings.float(), torch.tensor(labels)


@settings(max_examples=200, deadline=None)
@given(batches(), st.booleans(), st.sampled_from([1, 3, 512]))
def test_loss_and_gradient_are_those_of_the_plain_loss(
    batch: tuple[Tensor, Tensor], squared: bool, block: int
) -> None:
    embeddings, labels = batch
    labels = torch.where(labels < 0, -1, labels)
    if len(all_pairs(labels)[0]) == 0:
        return
    value, gradient = plain(embeddings, labels, 4.0, squared)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", block)
        found, found_gradient = ours(embeddings, labels, 4.0, squared)
    assert found == pytest.approx(value, rel=1e-6, abs=1e-37)
    scale = float(gradient.abs().max())
    torch.testing.assert_close(
        found_gradient.double(), gradient, rtol=1e-6, atol=max(2e-7 * scale, 1e-37)
    )


@pytest.mark.parametrize("squared", [True, False])
def test_a_pair_at_1e_7_is_pushed_as_the_plain_loss_pushes_it(squared: bool) -> None:
    """Beside far embeddings, whose squares would swallow that of the distance."""
    embeddings = torch.cat(
        [apart(1e-7, 0.0), torch.tensor([[300.0, 40.0, 0.0], [0.0, -80.0, 1.0]])]
    )
    labels = torch.tensor([0, 1, 2, 3])
    _, expected = plain(embeddings, labels, 20.0, squared)
    _, found = ours(embeddings, labels, 20.0, squared)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-12)
    assert float(found[0, 2]) == pytest.approx(20.0 / 6 if squared else 0.5 / 6, rel=1e-6)


def test_a_collapsed_batch_takes_no_tensor_of_all_its_differences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half of the pairs are close: their differences are taken a few at a time."""
    monkeypatch.setattr(blocks, "BLOCK", 8)
    generator = torch.Generator().manual_seed(0)
    knots = torch.tensor([7.0, -7.0]).repeat(20)[:, None]
    embeddings = knots + 1e-6 * torch.randn(40, 3, generator=generator)
    labels = torch.arange(40)
    largest: list[int] = []
    real = torch.linalg.vector_norm

    def watched(difference: Tensor, **more: int) -> Tensor:
        largest.append(difference.numel())
        return real(difference, **more)

    monkeypatch.setattr(torch.linalg, "vector_norm", watched)
    value, gradient = ours(embeddings, labels, 10.0, True)
    monkeypatch.setattr(torch.linalg, "vector_norm", real)
    expected, wanted = plain(embeddings, labels, 10.0, True)
    assert value == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(gradient.double(), wanted, rtol=1e-5, atol=1e-6)
    assert largest
    assert max(largest) <= 8 * 8
