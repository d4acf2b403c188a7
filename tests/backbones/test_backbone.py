"""What all networks get from their base: heads, and embeddings of length 1 where asked."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from knowbound.backbones import (
    VGG13,
    Backbone,
    EfficientNetLite,
    LeNet,
    WideResNet,
    as_backbone,
)
from knowbound.outputs import Outputs


@pytest.mark.parametrize("kind", [LeNet, WideResNet, VGG13, EfficientNetLite])
def test_embeddings_of_length_one_are_those_of_the_plain_network_scaled(
    kind: type[Backbone],
) -> None:
    torch.manual_seed(0)
    plain = kind(embedding=4, logits=3, channels=1).eval()  # type: ignore[call-arg]
    scaled = kind(**plain.settings | {"unit_length": True}).eval()
    scaled.load_state_dict(plain.state_dict())
    side = {LeNet: 28, EfficientNetLite: 64}.get(kind, 32)
    images = torch.rand(3, 1, side, side)
    expected, found = plain(images), scaled(images)
    embedding = expected.get("embedding")
    by_hand = embedding / embedding.square().sum(dim=1, keepdim=True).sqrt()
    torch.testing.assert_close(found.get("embedding"), by_hand)
    torch.testing.assert_close(found.get("logits"), expected.get("logits"))


def test_length_one_needs_an_embedding() -> None:
    with pytest.raises(ValueError, match="without a length of embeddings"):
        LeNet(logits=3, unit_length=True)


class LikeTorchvision(nn.Module):
    """Has ``features`` and ``classifier``, as the networks of torchvision have, and no ``embed``."""

    def __init__(self, outputs: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten())
        self.classifier = nn.Linear(4 * 7 * 7, outputs)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.classifier(self.features(images))
        return found


class TwoOutputs(nn.Module):
    """Gives features and logits by name, and no stages."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Flatten(), nn.Linear(256, 3)

    def forward(self, images: Tensor) -> Outputs:
        features = self.body(images)
        return Outputs(features=features, logits=self.head(features))


@pytest.mark.parametrize("head", ["embedding", "logits"])
def test_the_one_output_of_a_network_of_ones_own_has_the_name_of_the_head(head: Any) -> None:
    own, images = LikeTorchvision(), torch.rand(2, 1, 16, 16)
    network = as_backbone(own, head)
    assert list(network.heads) == [head]
    expected = own(images)
    for stages in (False, True):
        outputs = network(images, stages=stages)
        torch.testing.assert_close(outputs.get(head), expected)
        torch.testing.assert_close(outputs.get("features"), expected)
        assert (outputs.stages is None) == (not stages)
    assert [name for name in ("embedding", "logits") if getattr(outputs, name) is None] != [head]


def test_a_network_that_names_its_outputs_is_taken_at_its_word() -> None:
    own, images = TwoOutputs(), torch.rand(2, 1, 16, 16)
    outputs = as_backbone(own, "logits")(images, stages=True)
    torch.testing.assert_close(outputs.stages, images.flatten(1))
    torch.testing.assert_close(outputs.logits, own(images).logits)
    assert outputs.embedding is None


def test_a_backbone_is_left_as_it_is() -> None:
    network = LeNet(embedding=3)
    assert as_backbone(network, "logits") is network
