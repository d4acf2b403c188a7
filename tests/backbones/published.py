"""Small vision networks, saved as their makers would publish them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

transformers = pytest.importorskip("transformers")

SIDE, MEAN, STD = 32, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
TOKENS = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": SIDE,
    "patch_size": 8,
}
MAPS = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 16, 16]}
TEXT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "vocab_size": 10,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CONFIGS: dict[str, Callable[[], Any]] = {
    "dinov2": lambda: transformers.Dinov2Config(**TOKENS),
    "vit": lambda: transformers.ViTConfig(**TOKENS),
    "siglip": lambda: transformers.SiglipVisionConfig(**TOKENS),
    "convnext": lambda: transformers.ConvNextConfig(**MAPS),
    "resnet": lambda: transformers.ResNetConfig(embedding_size=8, **MAPS),
}


def write_preprocessing(folder: Path, **values: Any) -> None:
    common = {
        "image_mean": MEAN,
        "image_std": STD,
        "rescale_factor": 1 / 255,
        "size": {"height": SIDE, "width": SIDE},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(common | values))


def saved(folder: Path, config: Any, kind: Any = None) -> Any:
    """A small model as its makers would publish it."""
    torch.manual_seed(0)
    kind = transformers.AutoModel.from_config if kind is None else kind
    model = kind(config).eval()
    for parameter in model.parameters():  # zeros and ones would hide what is left out
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    write_preprocessing(folder)
    return model
