"""The promise, simulated: what was said of new images before they came, and what then came."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from knowbound.boundary.threshold import Threshold, least_groups
from knowbound.data.group_hold_out import hold_out_groups

ACCEPTANCE, CLASSES, MEMORISED = 0.95, 3, 0.2
"""A picture that was learned from scores a fifth of what a new one of its class does."""


def accepted_of_new(
    per_class: int, copies: NDArray[np.int64], seed: int, grouped: bool
) -> tuple[float, float]:
    """The share of 2,000 new known images that is accepted, and what it is on average.

    copies: (N,) how many files there are of each distinct picture.
    """
    rng = np.random.default_rng(seed)
    pictures = CLASSES * per_class
    owner = np.repeat(np.arange(pictures), copies)
    labels = (owner % CLASSES).astype(np.int64)
    share = min(0.5, max(0.1, (least_groups(ACCEPTANCE) + 1) / pictures))
    held = hold_out_groups(labels, owner if grouped else None, share, rng, least_groups(ACCEPTANCE))
    learned = np.setdiff1d(np.arange(len(owner)), held)
    score = rng.lognormal(size=pictures)
    seen = np.isin(owner[held], owner[learned])  # a copy of it was learned from
    scores = np.where(seen, MEMORISED, 1.0) * score[owner[held]]
    threshold = Threshold(CLASSES).fit(
        torch.from_numpy(scores),
        torch.from_numpy(labels[held]),
        owner[held] if grouped else None,
        acceptance=ACCEPTANCE,
    )
    new = torch.from_numpy(rng.lognormal(size=2000))
    accepted = threshold.accepts(new, torch.zeros(2000, dtype=torch.int64)).double().mean()
    groups = int(threshold.groups.sum())
    return float(accepted), np.ceil((groups + 1) * ACCEPTANCE - 1e-9) / (groups + 1)


@pytest.mark.parametrize("per_class", [30, 120])
@pytest.mark.parametrize("kind", ["none", "a quarter twice", "each four times"])
def test_new_images_are_accepted_as_promised_whatever_the_copies(kind: str, per_class: int) -> None:
    count = CLASSES * per_class
    copies = {
        "none": np.ones(count, np.int64),
        "a quarter twice": 1 + (np.arange(count) % 4 == 0),
        "each four times": np.full(count, 4),
    }[kind]
    drawn = [accepted_of_new(per_class, copies, seed, grouped=True) for seed in range(150)]
    shares, expected = np.mean(drawn, axis=0)
    assert shares == pytest.approx(expected, abs=0.012)
    assert ACCEPTANCE <= expected <= ACCEPTANCE + 0.025
    if kind == "each four times":  # the fault that this mends
        broken = [accepted_of_new(per_class, copies, seed, grouped=False)[0] for seed in range(30)]
        assert np.mean(broken) < 0.85


def test_the_acceptance_lies_in_the_printed_range_in_95_of_100_calibrations() -> None:
    inside = []
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        held = torch.from_numpy(rng.normal(size=200))
        threshold = Threshold(1).fit(held, torch.zeros(200, dtype=torch.int64))
        low, high = threshold.range()
        (at,) = threshold.thresholds.tolist()
        true = 0.5 * (1 + torch.erf(torch.tensor(at) / 2**0.5)).item()  # of the normal distribution
        inside.append(low <= true <= high)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)


def test_tracks_count_once_each() -> None:
    """Twelve frames of one sign score nearly alike: 40 tracks are 40 images, not 480."""
    shares, inside = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        track = np.repeat(np.arange(40), 12)
        scores = rng.normal(size=40)[track] + 0.1 * rng.normal(size=480)
        threshold = Threshold(1).fit(
            torch.from_numpy(scores), torch.zeros(480, dtype=torch.int64), track
        )
        new = rng.normal(size=(4000, 2)) @ np.array([1.0, 0.1])
        share = float((new <= threshold.thresholds.item()).mean())
        low, high = threshold.range()
        shares.append(share)
        inside.append(low <= share <= high)
    assert np.mean(shares) >= 0.94
    assert np.mean(inside) >= 0.93


def test_a_stated_confidence_is_kept() -> None:
    kept = []
    for seed in range(400):
        held = torch.from_numpy(np.random.default_rng(seed).uniform(size=150))
        threshold = Threshold(1).fit(held, torch.zeros(150, dtype=torch.int64), confidence=0.95)
        kept.append(threshold.thresholds.item() >= ACCEPTANCE)
    assert np.mean(kept) >= 0.93
