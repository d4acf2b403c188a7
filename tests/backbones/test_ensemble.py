"""Several networks as one: against each of them alone."""

from copy import deepcopy
from functools import partial

import pytest
import torch
from torch import Tensor

from knowbound.backbones import BACKBONES, Backbone, Ensemble, GivenFeatures, LeNet, WideResNet
from knowbound.detectors import NearestCentre

SMALL = partial(WideResNet, depth=10, widen=1)


def two(**heads: int) -> list[Backbone]:
    networks: list[Backbone] = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        networks.append(SMALL(**heads).eval())
    return networks


def images(count: int = 5) -> Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def test_outputs_are_side_by_side_and_logits_are_the_mean() -> None:
    networks = two(embedding=4, logits=3)
    outputs = Ensemble.of(networks)(images(), stages=True)
    first, second = (network(images(), stages=True) for network in networks)
    for name in ("stages", "features", "embedding"):
        both = torch.cat([first.get(name), second.get(name)], dim=1)
        torch.testing.assert_close(outputs.get(name), both)
    torch.testing.assert_close(
        outputs.get("logits"), (first.get("logits") + second.get("logits")) / 2
    )
    assert Ensemble.of(networks)(images()).stages is None


@torch.no_grad()
def test_squared_centre_distances_are_sums_over_the_members() -> None:
    networks, labels = two(embedding=4), torch.tensor([0, 1, 0, 1, 1])
    scores = []
    for network in (*networks, Ensemble.of(networks)):
        vectors = network(images()).get("embedding")
        centres = torch.stack([vectors[labels == label].mean(dim=0) for label in (0, 1)])
        scores.append(torch.cdist(vectors.double(), centres.double()).square())
        if isinstance(network, Ensemble):
            detector = NearestCentre()
            detector.learn(vectors, labels, ("a", "b"))
            nearest = scores[-1].min(dim=1)
            assert torch.equal(detector.classify(vectors), nearest.indices)
    torch.testing.assert_close(scores[2], scores[0] + scores[1])


def test_settings_build_it_again_and_weights_fit() -> None:
    ensemble = Ensemble.of(two(embedding=4))
    again = BACKBONES["ensemble"](**ensemble.settings)
    again.load_state_dict(ensemble.state_dict())
    with torch.no_grad():
        expected = ensemble(images()).get("embedding")
        assert torch.equal(again.eval()(images()).get("embedding"), expected)
    assert ensemble.shows == again.shows == "embedding"


def test_the_members_weights_are_copies() -> None:
    networks = two(embedding=4)
    ensemble = Ensemble.of(networks)
    with torch.no_grad():
        next(networks[0].parameters()).add_(1)
    assert not torch.equal(next(ensemble.parameters()), next(networks[0].parameters()))


def test_what_cannot_be_put_together() -> None:
    with pytest.raises(ValueError, match="ensemble of no network was asked for"):
        Ensemble([])
    with pytest.raises(ValueError, match="of \\['GivenFeatures'\\] was asked for"):
        Ensemble.of([GivenFeatures(2, width=5)])
    other = LeNet(logits=2, height=16, width=16, channels=3)
    with pytest.raises(ValueError, match="expected the same"):
        Ensemble.of([SMALL(embedding=4), other])


def test_a_copy_answers_with_its_own_weights() -> None:
    ensemble = Ensemble.of(two(embedding=4))
    copied = deepcopy(ensemble)
    with torch.no_grad():
        features = ensemble(images()).get("features")
        before = copied.heads["embedding"](features)
        for parameter in ensemble.parameters():
            parameter.zero_()
        assert torch.equal(copied.heads["embedding"](features), before)
        assert not ensemble.heads["embedding"](features).any()
    assert len(list(ensemble.parameters())) == sum(
        len(list(n.parameters())) for n in two(embedding=4)
    )
