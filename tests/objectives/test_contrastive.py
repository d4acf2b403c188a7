"""Eq. 1 against loops over single pairs."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from knowbound.objectives import Contrastive, contrastive_loss
from knowbound.objectives import all_pairs as blocks
from knowbound.objectives.all_pairs import all_pairs_loss
from knowbound.objectives.batches import AuthorsBatches
from knowbound.objectives.pairs import all_pairs, keep_pairs, partner_pairs


def eq1(x: list[float], y: list[float], same: bool, margin: float, squared: bool) -> float:
    """One pair, as printed: 1/2 (1-y) D^2 + 1/2 y max(0, m - D)^2; linear without the squares."""
    distance = math.dist(x, y)
    value = distance if same else max(0.0, margin - distance)
    return 0.5 * (value**2 if squared else value)


def slow_loss(embeddings: Tensor, labels: Tensor, margin: float, squared: bool) -> float:
    """Mean over all pairs but out-out (z = 0 in Eq. 2)."""
    values = []
    for i in range(len(labels)):
        for j in range(i):
            if labels[i] < 0 and labels[j] < 0:
                continue
            same = bool(labels[i] == labels[j])
            values.append(
                eq1(embeddings[i].tolist(), embeddings[j].tolist(), same, margin, squared)
            )
    return sum(values) / len(values) if values else 0.0


def batch(
    size: int = 40, dim: int = 3, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    embeddings = 3 * torch.randn(size, dim, generator=generator, dtype=dtype)
    return embeddings, torch.randint(-1, 4, (size,), generator=generator)


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("block", [7, 40, 512])
def test_loss_of_all_pairs_is_the_mean_of_eq1_over_single_pairs(
    squared: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", block)
    embeddings, labels = batch()
    loss = Contrastive(margin=4.0, squared=squared)(embeddings, labels)
    assert loss.item() == pytest.approx(slow_loss(embeddings, labels, 4.0, squared), rel=1e-12)


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("block", [7, 512])
def test_a_share_of_same_class_pairs_weighs_both_means_and_their_gradients(
    squared: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", block)
    embeddings, labels = batch()
    embeddings.requires_grad_()
    first, second, same = all_pairs(labels)
    means = [
        contrastive_loss(
            embeddings[first[of]], embeddings[second[of]], same[of], 4.0, squared=squared
        )
        for of in (same, ~same)
    ]
    expected = 0.25 * means[0] + 0.75 * means[1]
    found = Contrastive(margin=4.0, squared=squared, same_share=0.25)(embeddings, labels)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    (wanted,), (gradient,) = (
        torch.autograd.grad(expected, embeddings),
        torch.autograd.grad(found, embeddings),
    )
    assert torch.allclose(gradient, wanted, rtol=1e-7, atol=1e-9)
    share = int(same.sum()) / len(same)
    assert Contrastive(margin=4.0, squared=squared, same_share=share)(
        embeddings, labels
    ).item() == pytest.approx(
        Contrastive(margin=4.0, squared=squared)(embeddings, labels).item(), rel=1e-9
    )


def test_a_share_of_same_class_pairs_is_checked() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Contrastive(same_share=1.0)
    with pytest.raises(ValueError, match="partners"):
        Contrastive(same_share=0.25, pairs="partners")


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("block", [7, 512])
def test_gradient_of_all_pairs_is_that_of_the_plain_loss(
    squared: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", block)
    embeddings, labels = batch()
    embeddings.requires_grad_()
    first, second, same = all_pairs(labels)
    plain = contrastive_loss(embeddings[first], embeddings[second], same, 4.0, squared=squared)
    (expected,) = torch.autograd.grad(plain, embeddings)
    (found,) = torch.autograd.grad(
        3 * all_pairs_loss(embeddings, labels, 4.0, squared=squared), embeddings
    )
    torch.testing.assert_close(found, 3 * expected, rtol=1e-9, atol=1e-12)


def test_gradient_in_float32_is_exact_to_1e_5_far_from_the_origin() -> None:
    embeddings, labels = batch(200, 32)
    embeddings = (
        0.05 * embeddings + 20
    ).requires_grad_()  # tight and far away: |x|^2 + |y|^2 - 2xy would cancel
    (expected,) = torch.autograd.grad(all_pairs_loss(embeddings, labels, 10.0), embeddings)
    single = embeddings.detach().float().requires_grad_()
    (found,) = torch.autograd.grad(all_pairs_loss(single, labels, 10.0), single)
    assert found.dtype == torch.float32
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_pairs_never_join_two_out_images() -> None:
    labels = torch.tensor([-1, 0, -1, 0, 1, -2])
    first, second, same = all_pairs(labels)
    pairs = {(int(i), int(j)): bool(s) for i, j, s in zip(first, second, same, strict=True)}
    assert (0, 2) not in pairs
    assert (0, 5) not in pairs
    assert len(pairs) == 15 - 3
    assert [pair for pair, is_same in pairs.items() if is_same] == [(1, 3)]


def test_out_images_are_pushed_from_classes_and_never_pulled_together() -> None:
    embeddings = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    labels = torch.tensor([0, -1, -1])
    loss = all_pairs_loss(embeddings, labels, 10.0)
    assert loss.item() == pytest.approx(0.5 * 9.0**2)
    loss.backward()
    assert embeddings.grad is not None
    torch.testing.assert_close(
        embeddings.grad[1], torch.tensor([-4.5, 0.0])
    )  # away from the class, not along the other out
    torch.testing.assert_close(embeddings.grad[2], torch.tensor([0.0, -4.5]))


def test_out_sets_told_apart_by_label_are_still_no_classes() -> None:
    embeddings, labels = batch()
    apart = torch.where(labels < 0, -1 - torch.arange(len(labels)) % 3, labels)
    assert all_pairs_loss(embeddings, apart, 4.0) == all_pairs_loss(embeddings, labels, 4.0)


@pytest.mark.parametrize("pairs", ["all", "partners"])
@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize(
    "labels",
    [[0, 0, 0, 0], [0, 1, 2, 3], [-1, -1, -1, -1], [0, -1, -1, -1], [0, 1, 0, 1]],
    ids=["one class", "no same-class pair", "outs only", "one in", "two classes"],
)
def test_loss_and_gradient_are_finite_where_embeddings_coincide(
    pairs: str, squared: bool, labels: list[int]
) -> None:
    embeddings = torch.ones(4, 3, requires_grad=True)
    loss = Contrastive(pairs=pairs, squared=squared)(embeddings, torch.tensor(labels))  # type: ignore[arg-type]
    loss.backward()
    assert torch.isfinite(loss)
    assert embeddings.grad is not None
    assert torch.isfinite(embeddings.grad).all()


def test_loss_of_outs_only_or_of_nothing_is_zero() -> None:
    assert all_pairs_loss(torch.randn(3, 2), torch.tensor([-1, -1, -1]), 1.0) == 0
    assert all_pairs_loss(torch.randn(1, 2), torch.tensor([0]), 1.0) == 0
    assert (
        contrastive_loss(
            torch.empty(0, 2), torch.empty(0, 2), torch.empty(0, dtype=torch.bool), 1.0
        )
        == 0
    )


def test_partner_pairs_are_i_with_i_plus_half() -> None:
    first, second, same = partner_pairs(torch.tensor([0, 1, -1, 0, -1, -1]))
    assert first.tolist() == [0, 1]
    assert second.tolist() == [3, 4]
    assert same.tolist() == [True, False]


def test_partner_loss_is_the_mean_over_partners() -> None:
    embeddings, labels = batch(20)
    objective = Contrastive(margin=4.0, squared=False, pairs="partners", rule=AuthorsBatches())
    values = [
        eq1(
            embeddings[i].tolist(),
            embeddings[i + 10].tolist(),
            bool(labels[i] == labels[i + 10]),
            4.0,
            False,
        )
        for i in range(10)
        if labels[i] >= 0 or labels[i + 10] >= 0
    ]
    assert objective(embeddings, labels).item() == pytest.approx(np.mean(values))


def test_keep_pairs_broadcasts() -> None:
    same, counts = keep_pairs(torch.tensor([[0], [-1]]), torch.tensor([[0, -1]]))
    assert same.tolist() == [[True, False], [False, False]]
    assert counts.tolist() == [[True, True], [True, False]]


def test_bfloat16_embeddings_are_compared_in_float32() -> None:
    embeddings, labels = batch(dtype=torch.bfloat16)
    assert Contrastive()(embeddings, labels).dtype == torch.float32


def test_no_tensor_of_all_pairs_is_kept_for_the_backward_pass() -> None:
    embeddings, labels = batch(256, 4)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: (kept.append(t.numel()), t)[1], lambda t: t
    ):
        all_pairs_loss(embeddings.requires_grad_(), labels, 4.0)
    assert sum(kept) <= 256 * 4


@pytest.mark.parametrize("margin", [0.0, -1.0])
def test_margin_must_be_a_distance(margin: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        Contrastive(margin=margin)
    with pytest.raises(ValueError, match="dim"):
        Contrastive(dim=0)


def test_shapes_must_fit() -> None:
    with pytest.raises(ValueError, match=r"expected \(B, D\) and \(B,\)"):
        all_pairs_loss(torch.randn(3, 2), torch.tensor([0, 1]), 1.0)
