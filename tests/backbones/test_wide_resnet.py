"""WRN against its published size."""

import pytest
import torch

from knowbound.backbones import WideResNet
from knowbound.outputs import Head


@pytest.mark.parametrize(("depth", "widen", "millions"), [(16, 2, 0.69), (28, 10, 36.5)])
def test_number_of_weights_is_the_published_one(depth: int, widen: int, millions: float) -> None:
    with torch.device("meta"):
        network = WideResNet(logits=10, depth=depth, widen=widen)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)


def test_depth_must_be_6n_plus_4() -> None:
    with pytest.raises(ValueError, match="6n"):
        WideResNet(logits=10, depth=17)


@pytest.mark.parametrize("head", ["embedding", "logits"])
def test_gain_scales_the_first_outputs_of_the_only_head(head: Head) -> None:
    networks = []
    for gain in (1.0, 10.0):
        torch.manual_seed(0)
        networks.append(WideResNet(**{head: 4}, depth=10, widen=1, gain=gain).eval())
    plain, scaled = (
        network(torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))).get(head)
        for network in networks
    )
    bias = networks[0].heads[head].bias
    assert torch.allclose(scaled - bias, 10 * (plain - bias), atol=1e-5)
    assert networks[1].settings["gain"] == 10.0


def test_gain_leaves_the_class_head_beside_an_embedding_as_it_is() -> None:
    networks = []
    for gain in (1.0, 10.0):
        torch.manual_seed(0)
        networks.append(WideResNet(4, 3, depth=10, widen=1, gain=gain))
    plain, scaled = (network.heads for network in networks)
    assert torch.equal(scaled["logits"].weight, plain["logits"].weight)
    assert torch.equal(scaled["embedding"].weight, 10 * plain["embedding"].weight)
