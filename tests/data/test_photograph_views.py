"""Views of photographs: each is a part of its picture, mirrored only where that is allowed."""

import pytest
import torch
from torch import Tensor

from knowbound.data.photograph_views import PhotographViews

PLAIN = PhotographViews(area=1.0, ratio=1.0, brightness=0.0, contrast=0.0, saturation=0.0)


def pictures(count: int = 6, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, 12, 12, generator=torch.Generator().manual_seed(1))


def yes(count: int) -> Tensor:
    return torch.ones(count, dtype=torch.bool)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_without_any_change_a_view_is_the_picture_or_its_mirror_image() -> None:
    images = pictures(40)
    seen = PLAIN(images, yes(40), seeded())
    same = [torch.allclose(a, b, atol=1e-5) for a, b in zip(seen, images, strict=True)]
    turned = [torch.allclose(a, b.flip(2), atol=1e-5) for a, b in zip(seen, images, strict=True)]
    assert all(a != b for a, b in zip(same, turned, strict=True))
    assert 8 <= sum(turned) <= 32


def test_only_those_that_may_be_are_mirrored() -> None:
    images, may = pictures(40), torch.arange(40) % 2 == 0
    seen = PLAIN(images, may, seeded())
    moved = (seen - images).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert not (moved & ~may).any()
    assert (moved & may).any()


def test_a_crop_is_a_part_of_the_area_asked_for() -> None:
    """On a picture whose colours are its coordinates the crop's own sides can be read."""
    views = PhotographViews(area=0.25, ratio=2.0, brightness=0.0, contrast=0.0, saturation=0.0)
    side = torch.linspace(0, 1, 200)
    picture = torch.stack(
        [side.expand(200, 200), side[:, None].expand(200, 200), torch.zeros(200, 200)]
    )
    seen = views(picture.expand(300, -1, -1, -1), ~yes(300), seeded())
    width = seen[:, 0, 100, -1] - seen[:, 0, 100, 0]
    height = seen[:, 1, -1, 100] - seen[:, 1, 0, 100]
    area, ratio = width * height, width / height
    assert area.min() > 0.23
    assert area.max() < 1.0
    assert area.min() < 0.35  # small crops do occur
    assert ratio.min() > 0.48
    assert ratio.max() < 2.1
    assert seen[:, 0].min() >= 0
    assert seen[:, 0, 100, 0].std() > 0.05  # at different places


@pytest.mark.parametrize("what", ["brightness", "contrast", "saturation"])
def test_light_changes_within_its_limit(what: str) -> None:
    views = PhotographViews(
        area=1.0, ratio=1.0, **{"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, what: 0.2}
    )
    images = 0.4 + 0.2 * pictures(200)  # so that nothing is cut at 0 or 1
    seen = views(images, ~yes(200), seeded())
    grey = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)

    def spread(pixels: Tensor) -> Tensor:
        own = (pixels * grey).sum(dim=1, keepdim=True)
        part = {
            "brightness": pixels,
            "contrast": own - own.mean(dim=(2, 3), keepdim=True),
            "saturation": pixels - own,
        }[what]
        return part.abs().mean(dim=(1, 2, 3))

    factor = spread(seen) / spread(images)
    assert 0.8 - 1e-3 <= factor.min() < 0.85
    assert 1.15 < factor.max() <= 1.2 + 1e-3


def test_grey_pictures_and_equal_seeds() -> None:
    images = pictures(5, channels=1)
    first, again, other = (PhotographViews()(images, yes(5), seeded(s)) for s in (3, 3, 4))
    assert first.shape == images.shape
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert (first.min() >= 0) & (first.max() <= 1)


@pytest.mark.parametrize("wrong", [{"area": 0.0}, {"area": 1.1}, {"ratio": 0.9}, {"contrast": 1.0}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected an area"):
        PhotographViews(**wrong)
