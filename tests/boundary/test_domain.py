"""The domain score: scikit-learn's own answer, the threshold by hand, and what cannot be fitted."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from knowbound.boundary.domain import Domain, PlainDomain, fit_logistic, spread
from knowbound.errors import UserError


def stages(
    count: int, centre: float, seed: int, width: int = 12, spread: float = 1.0
) -> torch.Tensor:
    """(count, width) float32, correlated, of very different scales, one of them constant."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, spread, (count, width)) @ np.random.default_rng(99).normal(
        0, 1, (width, width)
    )
    values += centre * np.linspace(-1, 1, width)
    values *= 10.0 ** np.linspace(-3, 3, width)
    values[:, 0] = 7
    return torch.from_numpy(values).float()


def reference(inside: torch.Tensor, far: torch.Tensor) -> tuple[np.ndarray, float]:
    """Slope and bias of scikit-learn's balanced logistic regression on standardised inputs, with
    a tenth of its default C."""
    inputs = torch.cat([inside, far]).double().numpy()
    labels = np.r_[np.zeros(len(inside)), np.ones(len(far))]
    scaler = StandardScaler().fit(inputs)
    model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=10_000, tol=1e-10)
    model.fit(scaler.transform(inputs), labels)
    slope = model.coef_[0] / scaler.scale_
    return slope, float(model.intercept_[0] - slope @ scaler.mean_)


def powers(stages: torch.Tensor) -> torch.Tensor:
    found = [[math.copysign(abs(x) ** 0.7, x) for x in row] for row in stages.tolist()]
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("counts", [(200, 200), (300, 40), (15, 90)])
def test_the_regression_is_scikit_learns(counts: tuple[int, int]) -> None:
    inside, far = stages(counts[0], 0, 1), stages(counts[1], 2, 2)
    fitted = fit_logistic(inside.double(), far.double())
    slope, intercept = reference(inside, far)
    ours = fitted(torch.cat([inside, far]).double()).numpy()
    theirs = torch.cat([inside, far]).double().numpy() @ slope + intercept
    assert np.abs(ours - theirs).max() < 2e-3
    assert fitted.weight[0] == 0


def taught(classes: int = 4, per_class: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """Stages of known images, each class shifted in a direction of its own, and their labels."""
    labels = torch.arange(classes).repeat_interleave(per_class)
    shift = torch.randn(classes, 12, generator=torch.Generator().manual_seed(0))
    return stages(len(labels), 0, 3, spread=0.3) + 0.5 * shift[labels], labels


def one_class_apart() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Known images of which one class stands a quarter of the way to the anomalies, their labels,
    and the anomalies: that class decides on the threshold."""
    inside, labels = taught()
    inside[labels == 3] = stages(60, 1, 8, spread=0.3)
    return inside, labels, stages(80, 4, 5, spread=0.3)


def lost(domain: Domain, far: torch.Tensor) -> float:
    """The largest threshold that leaves nine in ten anomalies above it."""
    return float(np.sort(domain.score(far).numpy())[len(far) // 10])


def test_score_and_threshold_by_hand() -> None:
    inside, labels, far = one_class_apart()
    near = stages(50, 0, 4, spread=0.3)
    domain = Domain().fit(inside, labels, near, far)
    assert (inside < 0).any()
    assert (inside > 0).any()
    known, shown, other = powers(inside), powers(near), powers(far)
    slope, bias = reference(torch.cat([known, shown]), other)
    new = stages(20, 2, 6)
    expected_scores = powers(new).double().numpy() @ slope + bias
    assert np.abs(domain.score(new).numpy() - expected_scores).max() < 2e-3
    assert domain.score(new).dtype == torch.float64
    needed = []
    for label in range(4):
        out = labels == label
        slope, bias = reference(torch.cat([known[~out], shown]), other)
        scores = np.sort(known[out].double().numpy() @ slope + bias)
        needed.append(scores[56])  # 57 of 60 are 95%
    assert 0 < max(needed) < lost(domain, far)
    assert float(domain.threshold) == pytest.approx(max(needed), abs=2e-3)
    assert domain.remark == ""


def test_the_unit_of_a_channel_does_not_matter() -> None:
    inside, labels = taught()
    far, new = stages(80, 3, 5), stages(20, 2, 6)
    units = torch.tensor([10.0 ** (k % 7 - 3) for k in range(12)])
    found = Domain().fit(inside, labels, None, far)
    other = Domain().fit(inside * units, labels, None, far * units)
    torch.testing.assert_close(other.score(new * units), found.score(new), rtol=0, atol=1e-3)
    torch.testing.assert_close(other.threshold, found.threshold, rtol=0, atol=1e-3)


def test_the_score_of_earlier_models_is_linear_in_the_activations() -> None:
    inside, labels = taught()
    far, new = stages(80, 3, 5), stages(20, 2, 6)
    slope, bias = reference(inside, far)
    found = PlainDomain().fit(inside, labels, None, far).score(new).numpy()
    assert np.abs(found - (new.double().numpy() @ slope + bias)).max() < 2e-3


def test_what_was_made_of_a_class_is_left_out_with_it() -> None:
    inside, labels, far = one_class_apart()
    near = inside * 1.001
    apart = Domain().fit(inside, labels, near, far, near_labels=labels)
    needed = []
    for label in range(4):
        out = labels == label
        slope, bias = reference(powers(torch.cat([inside[~out], near[~out]])), powers(far))
        scores = np.sort(powers(inside[out]).double().numpy() @ slope + bias)
        needed.append(scores[56])
    assert 0 < max(needed) < lost(apart, far)
    assert float(apart.threshold) == pytest.approx(max(needed), abs=2e-3)
    assert apart.threshold > Domain().fit(inside, labels, near, far).threshold


def test_near_images_stand_on_the_side_of_the_known() -> None:
    inside, labels = taught()
    near, far = stages(2000, 1.5, 4, spread=0.3), stages(2000, 3, 5, spread=0.3)
    without, including = (
        Domain().fit(inside, labels, None, far),
        Domain().fit(inside, labels, near, far),
    )
    assert including.score(near).mean() < without.score(near).mean()
    assert (including.score(near) <= 0).double().mean() > 0.9


def test_many_classes_are_left_out_in_ten_groups() -> None:
    inside, labels = taught(classes=200, per_class=3)
    domain = Domain().fit(inside, labels, None, stages(50, 3, 5))
    assert math.isfinite(float(domain.threshold))
    assert "no class has more than 3 images" in domain.remark
    needed = []
    for group in range(10):
        out = labels % 10 == group
        fitted = fit_logistic(inside[~out].double(), stages(50, 3, 5).double())
        needed.append((fitted(inside[out].double())).sort().values[56])  # 57 of 60 together
    expected = max(min(float(max(needed)), lost(domain, stages(50, 3, 5))), 0.0)
    assert float(domain.threshold) == pytest.approx(expected, abs=1e-3)


def test_one_class_is_told() -> None:
    inside, labels = taught(classes=1)
    domain = Domain().fit(inside, labels, None, stages(50, 3, 5))
    assert math.isfinite(float(domain.threshold))
    assert "there is one class" in domain.remark
    assert (domain.score(inside) <= domain.threshold).double().mean() >= 0.9


def test_a_single_image_of_a_single_class_is_no_half_built_score() -> None:
    inside, labels = taught(classes=1, per_class=1)
    domain = Domain().fit(inside, labels, None, stages(50, 3, 5))
    assert domain.threshold == math.inf
    assert "too few" in domain.remark


@pytest.mark.parametrize("empty", ["inside", "far"])
def test_nothing_to_learn_from_calls_everything_a_novelty(empty: str) -> None:
    inside, labels = taught()
    far = stages(50, 3, 5)
    if empty == "inside":
        inside, labels = inside[:0], labels[:0]
    else:
        far = far[:0]
    domain = Domain().fit(inside, labels, None, far)
    assert domain.threshold == math.inf
    assert (domain.score(stages(5, 9, 1)) <= domain.threshold).all()
    assert "too few" in domain.remark


def test_saved_and_read_back() -> None:
    inside, labels = taught()
    domain = Domain().fit(inside, labels, None, stages(50, 3, 5))
    state = domain.state_dict()
    assert set(state) == {"weight", "bias", "threshold"}
    other = Domain()
    other.weight = torch.empty_like(state["weight"])
    other.load_state_dict(state)
    new = stages(9, 1, 8)
    assert (other.score(new) == domain.score(new)).all()


def test_gradients_elsewhere_are_left_alone() -> None:
    inside, labels = taught()
    with torch.no_grad():
        domain = Domain().fit(inside, labels, None, stages(50, 3, 5))
    assert not domain.weight.requires_grad
    assert not domain.threshold.requires_grad


def test_what_does_not_fit_together() -> None:
    inside, labels = taught()
    with pytest.raises(ValueError, match="expected \\(N, S\\)"):
        Domain().fit(inside, labels, None, stages(50, 3, 5)[:, :5])
    with pytest.raises(ValueError, match="one for each"):
        Domain().fit(inside, labels[:-1], None, stages(50, 3, 5))
    with pytest.raises(ValueError, match="near"):
        Domain().fit(inside, labels, inside, stages(50, 3, 5), near_labels=labels[:3])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_activations_that_are_no_numbers_are_named(value: float) -> None:
    inside, labels = taught()
    far = stages(50, 3, 5)
    far[7, 2] = value
    with pytest.raises(UserError, match="for 1 of 50 anomalies are no finite numbers"):
        Domain().fit(inside, labels, None, far)
    inside[:3, 0] = value
    with pytest.raises(UserError, match="for 3 of 240 known images"):
        Domain().fit(inside, labels, None, stages(50, 3, 5))


def test_left_out_every_image_is_a_novelty_whatever_its_activations() -> None:
    score = Domain().leave_out(2).score(torch.tensor([[1.0, math.inf], [math.nan, 0.0]]))
    assert score.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("anomalies", "most"), [(20, 2), (5, 0), (10, 1)])
def test_no_more_than_a_tenth_of_the_anomalies_is_let_pass(anomalies: int, most: int) -> None:
    """Left out, classes so unlike each other lie farther out than every anomaly."""
    labels = torch.arange(120) % 3
    generator = torch.Generator().manual_seed(0)
    places = torch.tensor([[0.0, 0.0], [1.0, 0.0], [30.0, 0.0]])
    inside = places[labels] + 0.5 * torch.randn(120, 2, generator=generator)
    far = torch.tensor([8.0, 4.0]) + torch.randn(anomalies, 2, generator=generator)
    domain = Domain().fit(inside, labels, None, far)
    passed = int((domain.score(far) <= domain.threshold).sum())
    assert passed == most or float(domain.threshold) == 0


def test_classes_unlike_each_other_do_not_make_novelties_of_the_anomalies() -> None:
    """Left out, each class lies farther out than the anomalies, which then decide."""
    labels = torch.arange(120) % 3
    generator = torch.Generator().manual_seed(0)
    places = torch.tensor([[0.0, 0.0], [1.0, 0.0], [30.0, 0.0]])
    inside = places[labels] + 0.5 * torch.randn(120, 2, generator=generator)
    far = torch.tensor([8.0, 4.0]) + torch.randn(100, 2, generator=generator)
    domain = Domain().fit(inside, labels, None, far)
    scores = domain.score(far)
    assert (scores <= domain.threshold).sum() == 10  # of 100
    assert (domain.score(inside) <= domain.threshold).float().mean() > 0.95


def test_what_looks_like_the_kind_that_was_taught_is_no_anomaly() -> None:
    inside, labels = taught()
    near, far = inside.repeat(3, 1) * 1.01, stages(300, 40, 5, spread=0.1)
    domain = Domain().fit(inside, labels, near, far)
    assert (domain.score(inside) < -1).all()  # so no class needs a threshold of 0
    assert float(domain.threshold) == 0


@pytest.mark.parametrize("counts", [(50, 3, 20, 1), (10, 10, 10), (1000, 2), (5,)])
@pytest.mark.parametrize("most", [4, 7, 30, 61, 2000])
def test_of_many_images_each_class_keeps_its_share(counts: tuple[int, ...], most: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    taken = spread(torch.from_numpy(labels), most).numpy()
    fits = [k for k in range(1, 1001) if sum(min(count, k) for count in counts) <= most]
    share = max(fits)
    kept = np.bincount(labels[taken], minlength=len(counts))
    assert kept.tolist() == [min(count, share) for count in counts]
    assert taken.tolist() == sorted(set(taken.tolist()))
    for label in range(len(counts)):  # evenly: from the first on, gaps that differ by one at most
        own = np.flatnonzero(labels == label)
        gaps = np.diff(np.searchsorted(own, taken[labels[taken] == label]))
        assert not len(gaps) or gaps.max() - gaps.min() <= 1


def test_it_learns_from_its_share_of_many_images(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    inside, far = torch.from_numpy(rng.normal(size=(300, 4))), torch.ones(50, 4).double() * 3
    labels = torch.from_numpy(np.repeat([0, 1], [240, 60]))
    monkeypatch.setattr("knowbound.boundary.domain.MOST_KNOWN", 120)
    taken = spread(labels, 120)
    domain, few = Domain().fit(inside, labels, None, far), Domain()
    few.fit(inside[taken], labels[taken], None, far)
    assert labels[taken].bincount().tolist() == [60, 60]
    assert torch.equal(domain.weight, few.weight)
    assert torch.equal(domain.threshold, few.threshold)
