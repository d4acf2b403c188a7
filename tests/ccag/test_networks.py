"""Generator and discriminator: shapes on the way, published sizes, first weights, and sheets."""

import pytest
import torch
from torch import Tensor, nn

from knowbound.ccag.discriminator import Discriminator
from knowbound.ccag.generator import Generator, draw_sheet
from knowbound.ccag.weights import draw_weights

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def maps(network: nn.Module, inputs: Tensor) -> list[tuple[int, ...]]:
    """Shapes (channels, height, width) behind each convolution."""
    found: list[tuple[int, ...]] = []
    for module in network.modules():
        if isinstance(module, CONVOLUTIONS):
            module.register_forward_hook(
                lambda _module, _inputs, output: found.append(tuple(output.shape[1:]))
            )
    network(inputs)
    return found


def kinds(network: nn.Module) -> list[str]:
    return [type(module).__name__ for module in network.modules() if not list(module.children())]


def test_the_generator_grows_noise_to_an_image() -> None:
    assert maps(Generator(), torch.randn(2, 100)) == [
        (512, 4, 4),
        (256, 8, 8),
        (128, 16, 16),
        (3, 32, 32),
    ]
    block = ["ConvTranspose2d", "BatchNorm2d", "ReLU"]
    assert kinds(Generator(width=1)) == [*block, *block, *block, "ConvTranspose2d", "Sigmoid"]


def test_the_discriminator_shrinks_an_image_to_one_logit() -> None:
    assert maps(Discriminator(), torch.rand(2, 3, 32, 32)) == [
        (128, 16, 16),
        (256, 8, 8),
        (512, 4, 4),
        (1, 1, 1),
    ]
    block = ["Conv2d", "BatchNorm2d", "LeakyReLU"]
    assert kinds(Discriminator(width=1)) == ["Conv2d", "LeakyReLU", *block, *block, "Conv2d"]
    assert Discriminator(width=2)(torch.rand(5, 3, 32, 32)).shape == (5,)


def test_networks_have_the_published_number_of_weights() -> None:
    kernels, norms = 16 * (100 * 512 + 512 * 256 + 256 * 128 + 128 * 3), 2 * (512 + 256 + 128)
    assert sum(p.numel() for p in Generator().parameters()) == kernels + norms
    kernels, norms = 16 * (3 * 128 + 128 * 256 + 256 * 512 + 512), 2 * (256 + 512)
    assert sum(p.numel() for p in Discriminator().parameters()) == kernels + norms


def test_the_discriminator_leaks_a_fifth_of_what_is_negative() -> None:
    leaks = [
        module for module in Discriminator(width=1).modules() if isinstance(module, nn.LeakyReLU)
    ]
    assert [module.negative_slope for module in leaks] == [0.2, 0.2, 0.2]


@pytest.mark.parametrize(
    "network", [Generator(), Discriminator()], ids=["generator", "discriminator"]
)
def test_first_weights_have_the_published_spread_and_depend_on_the_generator_given_alone(
    network: nn.Module,
) -> None:
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(found))
        draw_weights(network, torch.Generator().manual_seed(seed))
        found.append(torch.cat([p.detach().flatten().clone() for p in network.parameters()]))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    for module in network.modules():
        if isinstance(module, CONVOLUTIONS):
            assert module.bias is None
            assert module.weight.mean().item() == pytest.approx(0, abs=1e-3)
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.05)
        elif isinstance(module, nn.BatchNorm2d):
            assert module.weight.mean().item() == pytest.approx(1, abs=0.01)
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.3)
            assert (module.bias == 0).all()


def test_a_sheet_is_what_the_generator_makes_in_training_and_leaves_no_trace() -> None:
    generator, noise = Generator(noise=5, width=2), torch.randn(6, 5)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    sheet = draw_sheet(generator, noise)
    for name, value in generator.state_dict().items():
        assert torch.equal(value, before[name]), name
    expected = generator(noise)
    assert (sheet.shape, sheet.dtype) == ((6, 3, 32, 32), torch.uint8)
    torch.testing.assert_close(sheet / 255, expected.detach(), rtol=0, atol=0.501 / 255)
    assert not torch.equal(
        generator.state_dict()["layers.1.running_mean"], before["layers.1.running_mean"]
    )
