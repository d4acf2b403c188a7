"""What all networks get from their base: heads, and embeddings of length 1 where asked."""

import pytest
import torch

from knowbound.backbones import VGG13, Backbone, LeNet, WideResNet


@pytest.mark.parametrize("kind", [LeNet, WideResNet, VGG13])
def test_embeddings_of_length_one_are_those_of_the_plain_network_scaled(
    kind: type[Backbone],
) -> None:
    torch.manual_seed(0)
    plain = kind(embedding=4, logits=3, channels=1).eval()  # type: ignore[call-arg]
    scaled = kind(**plain.settings | {"unit_length": True}).eval()
    scaled.load_state_dict(plain.state_dict())
    size = (28, 28) if kind is LeNet else (32, 32)
    images = torch.rand(3, 1, *size)
    expected, found = plain(images), scaled(images)
    embedding = expected.get("embedding")
    by_hand = embedding / embedding.square().sum(dim=1, keepdim=True).sqrt()
    torch.testing.assert_close(found.get("embedding"), by_hand)
    torch.testing.assert_close(found.get("logits"), expected.get("logits"))


def test_length_one_needs_an_embedding() -> None:
    with pytest.raises(ValueError, match="without a length of embeddings"):
        LeNet(logits=3, unit_length=True)
