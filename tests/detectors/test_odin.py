"""ODIN against the paper written out one image at a time, and against the program that works on
normalised images."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from knowbound.backbones import WideResNet
from knowbound.backbones.backbone import Backbone, as_backbone
from knowbound.boundary.boundary import Boundary
from knowbound.data.preprocessing import Preprocessing
from knowbound.detectors import Odin
from knowbound.detectors import odin as module
from knowbound.detectors.odin import gradient_sign
from knowbound.outputs import Outputs
from tests.samples import blobs

MEAN, STD = (
    torch.tensor([0.49, 0.48, 0.45]).view(3, 1, 1),
    torch.tensor([0.25, 0.5, 0.1]).view(3, 1, 1),
)


def images(count: int = 5) -> Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def network(classes: int = 4) -> Backbone:
    torch.manual_seed(0)
    return WideResNet(logits=classes, depth=10, widen=1).eval()


def linear(classes: int) -> tuple[Backbone, nn.Linear]:
    """One layer on the pixels, and the network around it."""
    layer = nn.Linear(192, classes)
    return as_backbone(nn.Sequential(nn.Flatten(), layer), "logits"), layer


def logits_of(backbone: nn.Module, x: Tensor) -> Tensor:
    logits: Tensor = backbone(x).get("logits")
    return logits


class Normalising(nn.Module):
    """A network for images in [0, 1] around one for normalised images."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Outputs:
        outputs: Outputs = self.inner((x - MEAN) / STD)
        return outputs


def odin_of_one(
    backbone: nn.Module,
    image: Tensor,
    temperature: float,
    epsilon: float,
    std: Tensor | None = None,
) -> float:
    """Section 3 of Liang et al. with Eq. 1 and 2: S of the image x - epsilon * sign(-d log S / dx),
    as 1 image and 1 softmax."""
    x = image.clone()[None].requires_grad_()
    largest = torch.softmax(logits_of(backbone, x)[0].double() / temperature, dim=0).max()
    (-torch.log(largest)).backward()
    assert x.grad is not None
    moved = image.clone()
    for index in torch.cartesian_prod(*(torch.arange(n) for n in image.shape)):
        c, i, j = index.tolist()
        step = epsilon / (std[c].item() if std is not None else 1.0)
        moved[c, i, j] -= step if x.grad[0, c, i, j] >= 0 else -step
    with torch.no_grad():
        return (
            torch.softmax(logits_of(backbone, moved[None])[0].double() / temperature, dim=0)
            .max()
            .item()
        )


@pytest.mark.parametrize("temperature", [1.0, 10.0, 1000.0])
@pytest.mark.parametrize("epsilon", [0.0, 0.0014, 0.02])
def test_score_is_that_of_the_paper_image_by_image(temperature: float, epsilon: float) -> None:
    backbone, detector = network(), Odin(temperature, epsilon)
    with torch.no_grad():
        logits = logits_of(backbone, detector.prepare(backbone, images()))
    expected = [odin_of_one(backbone, image, temperature, epsilon) for image in images()]
    assert torch.exp(-detector.score(logits)).tolist() == pytest.approx(expected, rel=1e-6)
    assert (detector.classify(logits) == logits.argmax(dim=1)).all()


def test_the_step_equals_that_of_the_program_on_normalised_images() -> None:
    inner = network()
    ours = Odin(10.0, 0.01).prepare(Normalising(inner), images())
    normalised = (images() - MEAN) / STD
    theirs = Odin(10.0, 0.01, channel_std=STD.flatten().tolist()).prepare(inner, normalised)
    torch.testing.assert_close((ours - MEAN) / STD, theirs)
    score = odin_of_one(inner, normalised[0], 10.0, 0.01, STD.flatten())
    with torch.no_grad():
        assert torch.exp(-Odin(10.0).score(logits_of(inner, theirs)))[0].item() == pytest.approx(
            score, rel=1e-6
        )


def test_the_step_lowers_the_score_and_leaves_the_unit_interval() -> None:
    backbone = network()
    detector = Odin(1.0, 0.01)
    black = torch.cat([images(), torch.zeros(1, 3, 8, 8)])
    moved = detector.prepare(backbone, black)
    assert ((moved - black).abs() - 0.01).abs().max() < 1e-6
    assert moved.min() < 0
    with torch.no_grad():
        before, after = (detector.score(logits_of(backbone, x)) for x in (black, moved))
    assert (after < before).all()


def test_a_gradient_of_zero_counts_as_plus_one() -> None:
    flat, layer = linear(4)
    nn.init.zeros_(layer.weight)
    torch.testing.assert_close(Odin(1.0, 0.25).prepare(flat, images()), images() - 0.25)


@pytest.mark.parametrize("gap", [60.0, 300.0])
def test_a_very_confident_network_still_has_a_gradient(gap: float) -> None:
    """In float32, 1 - p is 0 here and so would be the gradient; the step would be the same for
    every image."""
    steep, layer = linear(2)
    nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(1))
    nn.init.constant_(layer.bias, 0.0)
    layer.bias.data[0] = gap
    weight = layer.weight.detach()
    expected = torch.where(weight[1] - weight[0] >= 0, 1.0, -1.0).view(3, 8, 8)
    torch.testing.assert_close(gradient_sign(steep, images(), 1.0), expected.expand(5, 3, 8, 8))


def test_batches_of_any_length_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = network()
    whole = gradient_sign(backbone, images(7), 10.0)
    monkeypatch.setattr(module, "CHUNK", 3)
    assert (
        gradient_sign(backbone, images(7), 10.0) == whole
    ).float().mean() > 0.999  # a gradient near 0 may round either way
    assert Odin().prepare(backbone, images()[:0]).shape == (0, 3, 8, 8)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_no_gradient_is_needed_before_or_left_behind(mode: type) -> None:
    backbone = network()
    with mode():
        moved = Odin().prepare(backbone, images())
    assert not moved.requires_grad
    torch.testing.assert_close(moved, Odin().prepare(backbone, images()))
    assert all(
        parameter.grad is None and parameter.requires_grad for parameter in backbone.parameters()
    )


def test_a_boundary_scores_moved_images_and_comes_back_from_disk(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = blobs(per_class=20)
    backbone = WideResNet(logits=3, depth=10, widen=1, channels=1).eval()
    boundary = Boundary(
        backbone, Odin(10.0, 0.05, [0.5]), Preprocessing(16, 16, 1), source.class_names
    )
    boundary.learn(source).calibrate(source)
    judged = boundary.judge(source)
    pixels = torch.from_numpy(source.images(slice(0, 4))) / 255
    expected = [odin_of_one(backbone, image, 10.0, 0.05, torch.tensor([0.5])) for image in pixels]
    assert torch.exp(-torch.from_numpy(judged.score[:4])).tolist() == pytest.approx(
        expected, rel=1e-5
    )
    boundary.save(tmp_path)
    again = Boundary.load(tmp_path)
    assert again.detector.settings == {"temperature": 10.0, "epsilon": 0.05, "channel_std": [0.5]}
    assert again.judge(source).score.tolist() == pytest.approx(judged.score.tolist(), rel=1e-5)


@pytest.mark.parametrize("settings", [(0.0, 0.1, None), (1.0, -0.1, None), (1.0, 0.1, [0.5, 0.0])])
def test_impossible_settings_are_refused(settings: tuple[float, float, list[float] | None]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Odin(*settings)


def test_a_std_for_each_channel() -> None:
    with pytest.raises(ValueError, match="3 channels came with 2 values"):
        Odin(1.0, 0.1, [0.5, 0.5]).prepare(network(), images())
