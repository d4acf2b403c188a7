"""What every backbone promises."""

import pytest
import torch

from knowbound.backbones import BACKBONES, Backbone

SMALL = {"lenet": {}, "wide_resnet": {"depth": 10, "widen": 1}}


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("channels", [1, 3])
def test_backbone(name: str, channels: int) -> None:
    network = BACKBONES[name](7, channels=channels, **SMALL.get(name, {})).eval()
    assert isinstance(network, Backbone)
    shape = (channels, network.settings.get("height", 32), network.settings.get("width", 32))
    images = torch.rand(3, *shape)
    embeddings = network(images)
    assert embeddings.shape == (3, 7)
    features = network.features(images)
    assert features.ndim == 2
    torch.testing.assert_close(network.embed(features), embeddings)
    again = BACKBONES[name](**network.settings)
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again.eval()(images), embeddings)
    torch.testing.assert_close(network(images[:1]), embeddings[:1], rtol=1e-4, atol=1e-5)
