"""Any vision network of ``transformers``, by its name on the hub or from a folder."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from knowbound.backbones.backbone import Backbone, Depth, Halves, pool
from knowbound.errors import UserError
from knowbound.values import JsonMapping

Pooling = Literal["pooler", "first"]
"""The features: what the network's own pooling gives, or its first token after the last block."""
UNWANTED = ("_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype")
"""Keys of a configuration that say where it came from, not what to build."""


@dataclass(frozen=True)
class Normalisation:
    """What the network's own preprocessing does to pixels: ``side`` pixels a side, then for every
    colour (x - mean) / std of x in [0, 1]."""

    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Pretrained(Backbone):
    """Outputs of images (N, channels, side, side) in [0, 1], by a network of ``transformers``.

    Its hidden states, pooled over positions or tokens, are the stages; its pooled output gives the
    features; a linear layer is added for each head.  The normalisation of its own preprocessing is
    inside.  ``load`` gives one with its weights.  The settings hold the whole configuration, so a
    saved model is built again without a hub; no code but that of ``transformers`` itself is run.

    Args:
        embedding: length of the embedding, or None for no metric head.
        logits: number of classes, or None for no class head.
        config: the network's configuration as JSON values, with its ``model_type``.
        side: of the square images it takes, in pixels.
        mean: of each colour, in [0, 1].
        std: of each colour.
        pooling: where the features come from.
        channels: 3, or 1 for grey images, which enter as three equal colours.
        origin: where the weights came from, for the record.
        unit_length: whether embeddings are scaled to length 1, as some losses compare them.

    Raises:
        UserError: ``transformers`` is not installed, or does not know such a vision network.
    """

    depths: ClassVar[tuple[Depth, ...]] = ("all",)

    def __init__(
        self,
        embedding: int | None = None,
        logits: int | None = None,
        *,
        config: JsonMapping,
        side: int,
        mean: Sequence[float],
        std: Sequence[float],
        pooling: Pooling = "pooler",
        channels: int = 3,
        origin: str = "",
        unit_length: bool = False,
    ) -> None:
        super().__init__()
        self.settings = {
            "embedding": embedding,
            "logits": logits,
            "config": dict(config),
            "side": side,
            "mean": list(mean),
            "std": list(std),
            "pooling": pooling,
            "channels": channels,
            "origin": origin,
            "unit_length": unit_length,
        }
        self.side, self.pooling = side, pooling
        self.network = _built(config)
        if pooling == "first":
            self.network.register_module("pooler", None)  # its weights are not published
        self.register_buffer("mean", _colours(mean), persistent=False)
        self.register_buffer("std", _colours(std), persistent=False)
        self.add_heads(self._width(), embedding, logits, unit_length)

    mean: Tensor
    std: Tensor

    @classmethod
    def load(
        cls,
        name: str,
        embedding: int | None = None,
        logits: int | None = None,
        *,
        channels: int = 3,
        unit_length: bool = False,
    ) -> Self:
        """A network with its published weights; its heads are fresh.

        Args:
            name: on the hub, such as "facebook/dinov2-small", or a folder that ``save_pretrained``
                wrote.  Only weights in safetensors are read, and no code that comes with a model is
                ever run.
            embedding: length of the embedding, or None for no metric head.
            logits: number of classes, or None for no class head.
            channels: 3, or 1 for grey images.
            unit_length: whether embeddings are scaled to length 1.

        Raises:
            UserError: ``transformers`` is not installed, the hub cannot be reached, or the model is
                not of this kind.
        """
        _transformers()
        with _reading(name):
            config = _configuration(name)
            normalisation = _normalisation(name)
            weights, missing = _weights(name, config)
        if others := [key for key in missing if not key.startswith("pooler.")]:
            raise UserError(
                f"the weights of {name} lack {len(others)} tensors, such as {others[0]}; expected "
                "all that its configuration asks for: take a whole checkpoint"
            )
        kept = {key: value for key, value in config.to_dict().items() if key not in UNWANTED}
        made = cls(
            embedding,
            logits,
            config=kept,
            side=normalisation.side,
            mean=normalisation.mean,
            std=normalisation.std,
            pooling="first" if missing else "pooler",
            channels=channels,
            origin=_origin(name, config),
            unit_length=unit_length,
        )
        made.network.load_state_dict(
            {key: value for key, value in weights.items() if key not in missing}
        )
        return made

    def activations(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """(N, C, side, side) in [0, 1] -> the hidden state after each block, pooled; the features.

        Raises:
            ValueError: images of another size than the network takes.
        """
        normed = (images.expand(-1, 3, -1, -1) - self.mean) / self.std
        outputs = self.network(pixel_values=normed, output_hidden_states=True)
        blocks = [
            state.mean(dim=1) if state.ndim == 3 else pool(state)
            for state in outputs.hidden_states[1:]
        ]
        pooled = outputs.last_hidden_state[:, 0] if self.pooling == "first" else None
        features: Tensor = outputs.pooler_output.flatten(1) if pooled is None else pooled
        return blocks, features

    def halves(self, depth: Depth) -> Halves:
        """The network in two parts, of which the second, all of it, is fine-tuned.

        Args:
            depth: "all"; which blocks are the last differs from network to network.

        Raises:
            ValueError: another depth.
        """
        if depth not in self.depths:
            raise ValueError(
                f"{depth!r} of a network of transformers was asked for; expected 'all'"
            )
        return Halves(lambda images: images, lambda images: self.activations(images)[1], (self,))

    def _width(self) -> int:
        """The length of the features, as one grey image has them."""
        self.network.eval()
        with torch.no_grad():
            _, features = self.activations(torch.full((1, 3, self.side, self.side), 0.5))
        self.network.train()
        return features.shape[1]


def pretrained_side(name: str) -> int:
    """Side in pixels of the square images that a network of ``transformers`` takes; no weights are
    read.

    Args:
        name: as in ``Pretrained.load``.

    Raises:
        UserError: as ``Pretrained.load`` does before it reads weights.
    """
    _transformers()
    with _reading(name):
        _configuration(name)
        return _normalisation(name).side


def _colours(values: Sequence[float]) -> Tensor:
    return torch.tensor(list(values), dtype=torch.float32)[:, None, None]


def _transformers() -> Any:
    """The library.

    Raises:
        UserError: it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise UserError(
            "networks of the hub need the package transformers, which is not installed; `pip "
            "install knowbound[transformers]` brings it, and with it networks such as DINOv2"
        ) from error
    return transformers


def _built(config: JsonMapping) -> nn.Module:
    """The network of a configuration, with fresh weights.

    Raises:
        UserError: this version of ``transformers`` does not know it, or it takes no images.
    """
    transformers = _transformers()
    kind, values = config.get("model_type"), dict(config)
    values.pop("model_type", None)
    try:
        made = transformers.AutoConfig.for_model(kind, **values)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"transformers {transformers.__version__} knows no model of the type {kind!r}; expected "
            "a vision network such as dinov2, vit, convnext or resnet: install a newer version"
        ) from error
    _takes_images(made, f"a model of the type {kind!r}")
    network: nn.Module = transformers.AutoModel.from_config(made, trust_remote_code=False)
    return network


def _takes_images(config: Any, name: str) -> None:
    """Raises UserError for a network whose input is not three-coloured images."""
    kinds = _transformers().MODEL_MAPPING
    kind = kinds.get(type(config), None)
    if kind is None or kind.main_input_name != "pixel_values":
        reads = "nothing that AutoModel can build" if kind is None else kind.main_input_name
        raise UserError(
            f"{name} is no vision network: it reads {reads}; expected one that reads images, such "
            "as facebook/dinov2-small"
        )
    if config.to_dict().get("num_channels", 3) != 3:
        raise UserError(
            f"{name} takes images of {config.num_channels} channels; expected one for 3 channels"
        )


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Without progress bars and reports; what goes wrong becomes one sentence."""
    from safetensors import SafetensorError

    logging = _transformers().utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except SafetensorError as error:
        raise UserError(
            f"the weights of {name} are damaged ({error}); download the model again"
        ) from error
    except (OSError, KeyError) as error:
        raise UserError(_why_not(name, str(error))) from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _why_not(name: str, reason: str) -> str:
    """The sentence for a model that cannot be read."""
    if "connect" in reason or "offline" in reason.lower():
        return (
            f"{name} is not on this machine and the hub cannot be reached; expected a network "
            "connection, a model downloaded before, or a folder with one"
        )
    if "safetensors" in reason:
        return (
            f"{name} has no weights in safetensors; expected a model.safetensors: other formats can "
            "run code when they are read, so have it converted first"
        )
    return (
        f"{name} cannot be read as a model: {reason.splitlines()[0] if reason else 'no reason given'}"
        "; expected a name on the hub or a folder with config.json, preprocessor_config.json and "
        "model.safetensors"
    )


def _configuration(name: str) -> Any:
    """The configuration of the vision network: of a model of pictures and texts, its vision tower.

    Raises:
        UserError: it needs code of its own, is unknown, or takes no images.
    """
    transformers = _transformers()
    values, _ = transformers.PreTrainedConfig.get_config_dict(name)
    if "model_type" not in values:
        raise KeyError("config.json does not say the type of a model")
    kind = values["model_type"]
    if kind not in transformers.CONFIG_MAPPING:
        if "auto_map" in values:
            raise UserError(
                f"{name} needs code that comes with it, which is never run here; expected a model "
                "whose network is part of transformers"
            )
        raise UserError(
            f"{name} is of the type {kind!r}, which transformers {transformers.__version__} does "
            "not know; expected a vision network: install a newer version, or take another model"
        )
    config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
    if "vision_config" in values:
        config = config.vision_config
    _takes_images(config, name)
    return config


def _normalisation(name: str) -> Normalisation:
    """The numbers of the model's own preprocessing.

    Raises:
        UserError: it does something other than scale, resize and normalise.
    """
    from transformers.image_processing_base import ImageProcessingMixin

    values, _ = ImageProcessingMixin.get_image_processor_dict(name)
    size = values.get("crop_size") if values.get("do_center_crop") else None
    size = size or values.get("size")
    sides = {size} if isinstance(size, int) else set((size or {}).values())
    factor = values.get("rescale_factor", 1 / 255)
    if len(sides) != 1 or abs(factor * 255 - 1) > 1e-6:
        raise UserError(
            f"the preprocessing of {name} makes images of the size {size} from pixels times "
            f"{factor:g}; expected squares and pixels divided by 255"
        )
    plain = not values.get("do_normalize", True)
    mean = [0.0] * 3 if plain else values["image_mean"]
    std = [1.0] * 3 if plain else values["image_std"]
    return Normalisation(int(sides.pop()), tuple(mean), tuple(std))


def _weights(name: str, config: Any) -> tuple[dict[str, Tensor], set[str]]:
    """The weights in float32, and the names of those that were drawn, as none are published."""
    network, found = _transformers().AutoModel.from_pretrained(
        name,
        config=config,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
        dtype=torch.float32,
    )
    return network.state_dict(), set(found["missing_keys"])


def _origin(name: str, config: Any) -> str:
    """The name and the version on the hub; of a folder, its last part alone."""
    if Path(name).is_dir():
        return Path(name).resolve().name
    commit = config.to_dict().get("_commit_hash") or config._commit_hash
    return f"{name}@{commit}" if commit else name
