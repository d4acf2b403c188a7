"""The promise, simulated: what was said of new images before they came, and what then came.

Pictures and their copies go through the grouping, the draw and the threshold."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import norm

from knowbound.boundary.conformal import least_groups
from knowbound.boundary.threshold import Threshold
from knowbound.data.group_hold_out import hold_out_groups
from knowbound.data.groups import group_images
from knowbound.data.source import Source

CLASSES, ACCEPTANCE, LEARNED = 3, 0.95, -2.0
"""A picture that was learned from scores two standard deviations below what a new one does."""
Indices = NDArray[np.int64]


def copied(kind: str, per_class: int) -> tuple[Source, Indices]:
    """A source of pictures with copies, every second one a little brighter, and whose copy each
    is."""
    rng = np.random.default_rng(0)
    count = CLASSES * per_class
    pictures = np.kron(rng.uniform(20, 230, (count, 1, 6, 6)), np.ones((2, 2)))
    times = {
        "none": np.ones(count, np.int64),
        "a quarter once": 1 + (np.arange(count) % 4 == 0),
        "four times": np.full(count, 4),
    }[kind]
    of = rng.permutation(np.repeat(np.arange(count), times))
    pixels = pictures[of] + (np.arange(len(of)) % 2 * 8)[:, None, None, None]
    labels = of % CLASSES
    return Source(kind, pixels.astype(np.uint8), labels, tuple("abc")), of


def calibrate(
    labels: Indices, of: Indices, groups: Indices | None, seed: int
) -> tuple[float, float, float]:
    """(acceptance of new images, the ends of the printed range) of one training and draw.

    Scores of new pictures have a normal distribution; copies of a picture score alike.
    """
    rng = np.random.default_rng(seed)
    count = len(labels) if groups is None else int(groups.max()) + 1
    least = least_groups(ACCEPTANCE)
    share = min(0.5, max(0.1, (least + 1) / count))
    held = hold_out_groups(labels, groups, share, rng, least)
    learned = np.setdiff1d(np.arange(len(labels)), held)
    new = rng.normal(size=int(of.max()) + 1)
    scores = (new + LEARNED * np.isin(np.arange(len(new)), of[learned]))[of]
    threshold = Threshold(CLASSES).fit(
        torch.from_numpy(scores[held]),
        torch.from_numpy(labels[held]),
        None if groups is None else groups[held],
        acceptance=ACCEPTANCE,
    )
    low, high = threshold.range()
    return float(norm.cdf(threshold.thresholds.item())), low, high


@pytest.mark.parametrize("per_class", [30, 120])
@pytest.mark.parametrize("kind", ["none", "a quarter once", "four times"])
def test_new_images_are_accepted_within_the_printed_range(kind: str, per_class: int) -> None:
    source, of = copied(kind, per_class)
    found = group_images(source, None, None)
    assert found.count == CLASSES * per_class
    assert found.copies + found.near_copies == len(of) - CLASSES * per_class
    runs = np.array([calibrate(source.labels, of, found.ids, seed) for seed in range(200)])
    inside = (runs[:, 1] <= runs[:, 0]) & (runs[:, 0] <= runs[:, 2])
    assert inside.mean() == pytest.approx(0.95, abs=0.05)
    assert runs[:, 0].mean() > ACCEPTANCE - 0.01
    if kind == "four times":  # what happened without groups
        plain = np.array([calibrate(source.labels, of, None, seed) for seed in range(40)])
        assert plain[:, 0].mean() < 0.75
        assert ((plain[:, 1] <= plain[:, 0]) & (plain[:, 0] <= plain[:, 2])).mean() < 0.1


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
