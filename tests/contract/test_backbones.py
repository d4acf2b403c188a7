"""What every backbone promises."""

from typing import Any

import pytest
import torch

from knowbound.backbones import BACKBONES, Backbone, Ensemble

TINY_RESNET = {
    "model_type": "resnet",
    "embedding_size": 8,
    "hidden_sizes": [8, 8],
    "depths": [1, 1],
}
SMALL: dict[str, dict[str, Any]] = {
    "pretrained": {"config": TINY_RESNET, "side": 32, "mean": [0.5] * 3, "std": [0.25] * 3},
    "wide_resnet": {"depth": 10, "widen": 1},
}
SIDES = {"efficientnet_lite": 64}

every = pytest.mark.parametrize("name", sorted(BACKBONES))


def network(name: str, embedding: int | None, logits: int | None, channels: int = 3) -> Backbone:
    if name == "pretrained":
        pytest.importorskip("transformers")
    torch.manual_seed(0)
    if name == "ensemble":  # of members that make up these sizes together
        sizes = (None, None) if embedding is None else (embedding - 3, 3)
        kinds = ("wide_resnet", "wide_resnet")
        return Ensemble.of(
            [network(kind, size, logits, channels) for kind, size in zip(kinds, sizes, strict=True)]
        )
    settings = {"channels": channels, **SMALL.get(name, {})}
    return BACKBONES[name](embedding, logits, **settings).eval()


def images(name: str, settings: dict[str, Any], count: int = 3) -> torch.Tensor:
    if name == "ensemble":
        settings = settings["members"][0]["settings"]
    side = SIDES.get(name, 32)
    shape = (settings["channels"], settings.get("height", side), settings.get("width", side))
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(1))


@every
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("embedding", "logits"), [(7, None), (None, 4), (7, 4)])
def test_heads_are_linear_in_the_features(
    name: str, channels: int, embedding: int | None, logits: int | None
) -> None:
    made = network(name, embedding, logits, channels)
    outputs = made(images(name, made.settings), stages=True)
    features = outputs.get("features")
    assert features.ndim == 2
    assert outputs.get("stages").ndim == 2
    for head, size in (("embedding", embedding), ("logits", logits)):
        if size is None:
            assert getattr(outputs, head) is None
        else:
            assert outputs.get(head).shape == (3, size)
            torch.testing.assert_close(made.heads[head](features), outputs.get(head))


@every
def test_settings_and_weights_build_it_again(name: str) -> None:
    made = network(name, 7, None)
    again = BACKBONES[name](**made.settings)
    again.load_state_dict(made.state_dict())
    batch = images(name, made.settings)
    torch.testing.assert_close(again.eval()(batch).get("embedding"), made(batch).get("embedding"))


@every
def test_an_image_does_not_depend_on_its_neighbours(name: str) -> None:
    made = network(name, 7, None)
    batch = images(name, made.settings)
    whole, alone = made(batch, stages=True), made(batch[:1], stages=True)
    for field in ("stages", "features", "embedding"):
        torch.testing.assert_close(alone.get(field), whole.get(field)[:1], rtol=1e-4, atol=1e-5)


@every
def test_stages_only_where_asked_for(name: str) -> None:
    made = network(name, 7, None)
    assert made(images(name, made.settings)).stages is None
