"""VGG-13 against lists of its layers written out by hand, in both published forms."""

import json
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, linear, max_pool2d

from knowbound.backbones import VGG13

CONVOLUTIONS = [
    (64, 3),
    (64, 64),
    (128, 64),
    (128, 128),
    (256, 128),
    (256, 256),
    (512, 256),
    (512, 512),
    (512, 512),
    (512, 512),
]
CONVOLUTION_WEIGHTS = [
    1_792,
    36_928,
    73_856,
    147_584,
    295_168,
    590_080,
    1_180_160,
    2_359_808,
    2_359_808,
    2_359_808,
]
LINEAR = [(512, 512), (512, 512), (10, 512)]


@pytest.fixture(scope="module", params=["paper", "ccag"])
def network(request: pytest.FixtureRequest) -> VGG13:
    torch.manual_seed(7)
    return VGG13(logits=10, variant=request.param)


def modules(network: nn.Module, kind: type[nn.Module]) -> list[Any]:
    return [module for module in network.modules() if isinstance(module, kind)]


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_layers_are_those_of_configuration_b(network: VGG13) -> None:
    convolutions = modules(network, nn.Conv2d)
    assert [tuple(conv.weight.shape) for conv in convolutions] == [
        (*shape, 3, 3) for shape in CONVOLUTIONS
    ]
    assert [count(conv) for conv in convolutions] == CONVOLUTION_WEIGHTS
    assert [tuple(layer.weight.shape) for layer in modules(network, nn.Linear)] == LINEAR
    assert not modules(network, nn.BatchNorm2d)
    assert count(network) == sum(CONVOLUTION_WEIGHTS) + 2 * 262_656 + 5_130 == 9_935_434


def test_batch_norm_adds_two_numbers_for_each_channel() -> None:
    with torch.device("meta"):
        plain, normed = VGG13(logits=10), VGG13(logits=10, batch_norm=True)
    assert [norm.num_features for norm in modules(normed, nn.BatchNorm2d)] == [
        out for out, _ in CONVOLUTIONS
    ]
    assert count(normed) - count(plain) == 2 * (2 * (64 + 128 + 256 + 512 + 512))
    order = [type(module).__name__ for module in normed.stages[:3]]
    assert order == ["Conv2d", "BatchNorm2d", "ReLU"]


@torch.no_grad()
def test_output_is_that_of_the_layers_applied_one_by_one(network: VGG13) -> None:
    images = torch.rand(2, 3, 32, 32)
    weights = iter(network.state_dict().values())
    maps = images  # no centring
    for stage in range(5):
        for _ in range(2):
            maps = conv2d(maps, next(weights), next(weights), padding=1).clamp(min=0)
        average = network.settings["variant"] == "paper" and stage == 4
        maps = (avg_pool2d if average else max_pool2d)(maps, 2)
    assert maps.shape == (2, 512, 1, 1)
    features = maps[:, :, 0, 0]
    for _ in range(2):
        features = linear(features, next(weights), next(weights)).clamp(min=0)
    network.eval()
    outputs = network(images)
    torch.testing.assert_close(outputs.features, features)
    torch.testing.assert_close(outputs.logits, linear(features, next(weights), next(weights)))


@torch.no_grad()
def test_the_paper_s_initial_weights() -> None:
    torch.manual_seed(1)
    network = VGG13(logits=10)
    for conv in modules(network, nn.Conv2d):
        out, into = conv.weight.shape[:2]
        limit = math.sqrt(6 / (9 * into + 9 * out))
        assert 0.99 * limit < conv.weight.abs().max() <= limit
        assert conv.weight.std() == pytest.approx(limit / math.sqrt(3), rel=0.03)
        assert (conv.bias == 0.1).all()
    for layer in modules(network, nn.Linear):
        assert layer.weight.std() == pytest.approx(0.1, rel=0.03)
        assert layer.weight.abs().max() > 0.3  # a normal one, not cut off
    biases = torch.cat([layer.bias for layer in modules(network, nn.Linear)])
    assert biases.std() == pytest.approx(0.1, rel=0.1)
    assert abs(biases.mean()) < 0.015


@torch.no_grad()
def test_the_initial_weights_of_ccag() -> None:
    torch.manual_seed(1)
    network = VGG13(logits=10, variant="ccag")
    for conv in modules(network, nn.Conv2d):
        std = math.sqrt(2 / (3 * 3 * conv.weight.shape[0]))
        assert conv.weight.std() == pytest.approx(std, rel=0.05)
        assert conv.weight.abs().max() > 2.5 * std
    for layer in modules(network, nn.Linear):
        assert layer.weight.std() == pytest.approx(0.01, rel=0.03)
    assert all(
        (layer.bias == 0).all()
        for kind in (nn.Conv2d, nn.Linear)
        for layer in modules(network, kind)
    )


@torch.no_grad()
def test_dropout_works_in_training_alone(network: VGG13) -> None:
    images = torch.rand(2, 3, 32, 32)
    network.eval()
    assert torch.equal(network(images).logits, network(images).logits)
    pooled = torch.rand(200, 512)  # what comes out of the last pool
    alive = (network.hidden(pooled) > 0).float().mean().item()
    network.train()
    assert not torch.equal(network(images).logits, network(images).logits)
    kept = {"paper": 0.8, "ccag": 0.5}[network.settings["variant"]]
    share = (network.hidden(pooled) > 0).float().mean().item()
    assert share == pytest.approx(kept * alive, abs=0.04)
    layers = list(network.hidden)
    assert [type(layer) for layer in layers] == [nn.Linear, nn.ReLU, nn.Dropout] * 2
    assert [layer.p for layer in layers if isinstance(layer, nn.Dropout)] == pytest.approx(
        [1 - kept] * 2
    )


def test_settings_are_json_and_build_the_network_again() -> None:
    with torch.device("meta"):
        network = VGG13(5, 7, variant="ccag", channels=1, hidden=64, batch_norm=True, dropout=0.1)
        again = VGG13(**json.loads(json.dumps(network.settings)))
    assert again.settings == network.settings
    assert str(again) == str(network)
    assert {name: tuple(head.weight.shape) for name, head in network.heads.items()} == {
        "embedding": (5, 64),
        "logits": (7, 64),
    }
    assert network.settings["dropout"] == 0.1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"variant": "other"}, "'other'.*paper, ccag"),
        ({"dropout": 1.0}, "dropout of 1.0"),
        ({"dropout": -0.1}, "dropout of -0.1"),
    ],
)
def test_wrong_settings_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        VGG13(logits=10, **arguments)


@pytest.mark.parametrize("size", [(28, 28), (64, 32)])
def test_other_sizes_are_refused(network: VGG13, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"{size[0]} x {size[1]}; expected 32 x 32"):
        network(torch.rand(1, 3, *size))


def test_widen_scales_the_channels_of_every_convolution() -> None:
    half = VGG13(logits=10, widen=0.5)
    assert [conv.out_channels for conv in modules(half, nn.Conv2d)] == [
        out // 2 for out, _ in CONVOLUTIONS
    ]
    assert modules(half, nn.Linear)[0].in_features == 256
    assert VGG13(**half.settings)(torch.zeros(1, 3, 32, 32)).logits.shape == (1, 10)
    with pytest.raises(ValueError, match="width of 0"):
        VGG13(logits=10, widen=0)
