"""Heads trained on kept features, and put on the network that made them."""

from pathlib import Path

import numpy as np
import torch

from knowbound.backbones import GivenFeatures, WideResNet
from knowbound.data.feature_cache import FeatureCache, pixel_keys
from knowbound.data.source import Source
from knowbound.objectives import Contrastive
from knowbound.training import Training, train


def test_heads_learn_from_kept_features_and_fit_the_network(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 3, 16, 16), dtype=np.uint8)
    pixels[1::2] //= 4
    pictures = Source("pictures", pixels, np.arange(12) % 2, ("light", "dark"))
    torch.manual_seed(0)
    network = WideResNet(3, depth=10, widen=1).eval()

    def compute(positions: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(pictures.images(positions)).float() / 255
        with torch.no_grad():
            return network(images).get("features").numpy()

    features = FeatureCache(tmp_path).features_of("lite", pixel_keys(pictures), compute)
    given = GivenFeatures(3, width=features.width)
    source = Source("features", features, pictures.labels, pictures.class_names)
    before = given.heads["embedding"].weight.detach().clone()
    train(given, source, (), Contrastive(), Training(steps=3))
    assert not torch.equal(given.heads["embedding"].weight, before)
    network.heads.load_state_dict(given.heads.state_dict())
    with torch.no_grad():
        whole = network(torch.from_numpy(pixels).float() / 255).get("embedding")
        kept = given.eval()(torch.from_numpy(features[:])).get("embedding")
    torch.testing.assert_close(whole, kept, rtol=1e-2, atol=1e-2)


def test_embeddings_of_length_one_where_asked() -> None:
    given = GivenFeatures(2, width=5, unit_length=True)
    again = GivenFeatures(**given.settings)
    again.load_state_dict(given.state_dict())
    images = torch.rand(4, 1, 1, 5)
    embedding = again(images).get("embedding")
    torch.testing.assert_close(embedding.square().sum(dim=1), torch.ones(4))
    torch.testing.assert_close(embedding, given(images).get("embedding"))
