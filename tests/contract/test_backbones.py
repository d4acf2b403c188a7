"""What every backbone promises."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from knowbound.backbones import BACKBONES, Backbone
from knowbound.outputs import Outputs

SMALL: dict[str, dict[str, Any]] = {
    "wide_resnet": {"depth": 10, "widen": 1},
    "vgg13": {"widen": 0.125, "hidden": 32},
}
HEADS = ({"embedding": 7}, {"logits": 4}, {"embedding": 7, "logits": 4})


def assert_same(first: Outputs, second: Outputs) -> None:
    for one, other in zip(first, second, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def made(name: str, channels: int, heads: dict[str, int]) -> tuple[Backbone, Tensor]:
    """A network in evaluation mode and three images of its shape."""
    torch.manual_seed(0)
    network = BACKBONES[name](**heads, channels=channels, **SMALL.get(name, {})).eval()
    shape = (channels, network.settings.get("height", 32), network.settings.get("width", 32))
    return network, torch.rand(3, *shape)


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize(("channels", "heads"), list(product([1, 3], HEADS)))
@torch.no_grad()
def test_outputs_are_those_of_the_heads_that_were_asked_for(
    name: str, channels: int, heads: dict[str, int]
) -> None:
    network, images = made(name, channels, heads)
    outputs = network(images)
    assert outputs.stages is None
    assert outputs.features is not None
    assert outputs.features.ndim == 2
    for head in ("embedding", "logits"):
        value = getattr(outputs, head)
        if head not in heads:
            assert value is None
            continue
        assert value.shape == (3, heads[head])
        layer = network.heads[head]
        slow = outputs.features @ layer.weight.T + layer.bias
        torch.testing.assert_close(value, slow, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", BACKBONES)
@torch.no_grad()
def test_stages_are_the_means_of_every_block(name: str) -> None:
    network, images = made(name, 3, {"embedding": 7})
    outputs = network(images, stages=True)
    blocks, _ = network.activations(images)
    assert len(blocks) >= 3
    slow = [[float(part.mean()) for block in blocks for part in block[i]] for i in range(3)]
    torch.testing.assert_close(outputs.stages, torch.tensor(slow), rtol=1e-4, atol=1e-5)
    assert_same(outputs._replace(stages=None), network(images))


@pytest.mark.parametrize("name", BACKBONES)
@torch.no_grad()
def test_settings_build_the_network_again_and_images_do_not_depend_on_their_batch(
    name: str,
) -> None:
    network, images = made(name, 1, {"embedding": 7, "logits": 4})
    outputs = network(images)
    again = BACKBONES[name](**network.settings)
    again.load_state_dict(network.state_dict())
    assert_same(again.eval()(images), outputs)
    alone = Outputs(*(None if value is None else value[:1] for value in outputs))
    assert_same(network(images[:1]), alone)
