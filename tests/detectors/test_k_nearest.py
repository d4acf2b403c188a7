"""k-th nearest neighbour against the full matrix of distances, sorted."""

from collections import Counter

import numpy as np
import pytest
import torch

from knowbound.detectors import k_nearest
from knowbound.detectors.k_nearest import KNearest
from knowbound.errors import UserError


def vectors(count: int, seed: int, dim: int = 6) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def by_hand(
    bank: torch.Tensor, queries: torch.Tensor, k: int, normalise: bool
) -> tuple[np.ndarray, np.ndarray]:
    b, q = bank.double().numpy(), queries.double().numpy()
    if normalise:
        b, q = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (b, q))
    distances = np.sqrt(((q[:, None] - b[None]) ** 2).sum(axis=2))
    order = np.argsort(distances, axis=1)[:, :k]
    return np.take_along_axis(distances, order, axis=1), order


@pytest.mark.parametrize("k", [1, 7, 500])
@pytest.mark.parametrize("normalise", [True, False])
def test_against_all_distances_sorted(
    k: int, normalise: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(k_nearest, "QUERIES", 16)
    monkeypatch.setattr(k_nearest, "BANK", 37)  # several blocks, the last one shorter
    bank, queries = vectors(150, 0), vectors(40, 1)
    labels = torch.arange(150) % 4
    detector = KNearest(k, normalise).fit(bank, labels)
    distances, order = by_hand(bank, queries, k, normalise)
    found, indices = detector.neighbours(queries)
    np.testing.assert_allclose(found.numpy(), distances, rtol=1e-5)
    np.testing.assert_array_equal(indices.numpy(), order)
    np.testing.assert_allclose(detector.score(queries).numpy(), distances[:, -1], rtol=1e-5)
    for chosen, neighbours in zip(detector.classify(queries).tolist(), order, strict=True):
        votes = Counter(labels[neighbours].tolist())
        most = max(votes.values())
        assert chosen == next(int(labels[n]) for n in neighbours if votes[int(labels[n])] == most)


def test_close_neighbours_far_from_the_origin() -> None:
    """|q|^2 + |b|^2 - 2 q b loses all digits here in float32."""
    bank, queries = 1000 + 0.3 * vectors(500, 0), 1000 + 0.3 * vectors(30, 1)
    detector = KNearest(7, normalise=False).fit(bank, torch.arange(500) % 3)
    distances, order = by_hand(bank, queries, 7, normalise=False)
    found, indices = detector.neighbours(queries)
    np.testing.assert_allclose(found.numpy(), distances, rtol=1e-4)
    np.testing.assert_array_equal(indices.numpy(), order)


def test_copies_and_a_zero_vector() -> None:
    bank = torch.zeros(5, 3)
    detector = KNearest(2).fit(bank, torch.tensor([0, 0, 1, 1, 1]))
    assert detector.score(torch.zeros(2, 3)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("flat", [10**6, 100], ids=["flat", "cells"])
def test_faiss_finds_the_same(flat: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr(k_nearest, "FLAT", flat)
    monkeypatch.setattr(k_nearest, "PROBED", 1000)  # all cells: then it is exact
    bank, queries, labels = vectors(400, 0), vectors(30, 1), torch.arange(400) % 3
    exact = KNearest(5).fit(bank, labels).neighbours(queries)
    other = KNearest(5, search="faiss").fit(bank, labels).neighbours(queries)
    torch.testing.assert_close(other[0], exact[0])
    assert torch.equal(other[1], exact[1])


def test_faiss_with_few_cells_looked_into_and_another_bank(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr(k_nearest, "FLAT", 100)
    monkeypatch.setattr(k_nearest, "PROBED", 1)  # a cell holds fewer than k
    bank, queries, labels = vectors(400, 0), vectors(30, 1), torch.arange(400) % 3
    other = KNearest(50, search="faiss").fit(bank, labels)
    torch.testing.assert_close(other.score(queries), KNearest(50).fit(bank, labels).score(queries))
    smaller = KNearest(50, search="faiss").fit(bank[:60], labels[:60])
    other.bank, other.labels = smaller.bank, smaller.labels  # as loading does
    torch.testing.assert_close(other.score(queries), smaller.score(queries))


def test_what_was_given_may_change_afterwards() -> None:
    bank = vectors(20, 0)
    detector = KNearest(1, normalise=False).fit(bank, torch.arange(20) % 2)
    bank.zero_()
    assert detector.score(vectors(20, 0)).max() == 0


def test_without_faiss_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(UserError, match=r"knowbound\[faiss\]"):
        KNearest(search="faiss").fit(vectors(4, 0), torch.tensor([0, 1, 0, 1])).score(vectors(1, 1))


@pytest.mark.parametrize(
    ("counts", "k"), [([8, 8, 8], 4), ([1, 9], 1), ([3, 40], 2), ([100, 101], 50), ([900, 900], 50)]
)
def test_k_follows_the_smallest_class_and_is_saved(counts: list[int], k: int) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    bank, queries = vectors(len(labels), 0), vectors(5, 1)
    detector = KNearest().fit(bank, labels)
    assert detector.k == k
    assert detector.settings["k"] is None
    torch.testing.assert_close(
        detector.score(queries), KNearest(k).fit(bank, labels).score(queries)
    )
    again = KNearest(**detector.settings)
    for name, value in detector.state_dict().items():
        setattr(again, name, value)
    assert again.k == k
    assert KNearest(77).fit(bank, labels).k == 77


def test_few_images_of_each_class_are_told_from_others() -> None:
    """Eight images of each of five classes: the fiftieth neighbour is in another class."""
    generator = torch.Generator().manual_seed(0)
    centres = 10 * torch.randn(10, 6, generator=generator)

    def images(classes: torch.Tensor) -> torch.Tensor:
        return centres[classes] + torch.randn(len(classes), 6, generator=generator)

    labels = torch.arange(40) % 5
    detector = KNearest().fit(images(labels), labels)
    inside, outside = images(labels), images(5 + labels)
    assert detector.score(inside).max() < detector.score(outside).min()


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="expected 1 or more"):
        KNearest(0)
    with pytest.raises(ValueError, match="'exact' or 'faiss'"):
        KNearest(search="annoy")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one"):
        KNearest().fit(torch.empty(0, 3), torch.empty(0, dtype=torch.int64))
