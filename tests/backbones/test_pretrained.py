"""Networks of transformers, against the library's own forward pass, in the real file format."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from knowbound.backbones import BACKBONES, Pretrained
from knowbound.backbones.pretrained import pretrained_side
from knowbound.errors import UserError
from tests.backbones.published import (
    CONFIGS,
    MEAN,
    SIDE,
    STD,
    TEXT,
    TOKENS,
    saved,
    write_preprocessing,
)

transformers = pytest.importorskip("transformers")


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def normed(images: Tensor) -> Tensor:
    channels = [
        (images[:, colour] - MEAN[colour]) / STD[colour] for colour in range(images.shape[1])
    ]
    return torch.stack(channels, dim=1)


@pytest.mark.parametrize("name", CONFIGS)
def test_features_and_stages_are_the_librarys(tmp_path: Path, images: Tensor, name: str) -> None:
    model = saved(tmp_path, CONFIGS[name]())
    network = Pretrained.load(str(tmp_path), 3, 4).eval()
    with torch.no_grad():
        expected = model(pixel_values=normed(images), output_hidden_states=True)
        outputs = network(images, stages=True)
    features = expected.pooler_output.reshape(2, -1)
    torch.testing.assert_close(outputs.get("features"), features)
    stages = []
    for state in expected.hidden_states[1:]:
        positions = state.flatten(2).transpose(1, 2) if state.ndim == 4 else state
        stages.append(sum(positions[:, index] for index in range(positions.shape[1])))
        stages[-1] = stages[-1] / positions.shape[1]
    torch.testing.assert_close(outputs.get("stages"), torch.cat(stages, dim=1))
    assert outputs.get("embedding").shape == (2, 3)
    assert outputs.get("logits").shape == (2, 4)
    assert network.side == SIDE


@pytest.mark.parametrize("name", CONFIGS)
def test_settings_are_json_and_need_no_files(tmp_path: Path, images: Tensor, name: str) -> None:
    saved(tmp_path / "model", CONFIGS[name]())
    network = Pretrained.load(str(tmp_path / "model"), 3).eval()
    settings = json.loads(json.dumps(network.settings))
    assert settings["origin"] == "model"
    assert str(tmp_path) not in json.dumps(settings)
    (tmp_path / "model").rename(tmp_path / "gone")
    again = BACKBONES["pretrained"](**settings)
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(
        again.eval()(images).get("embedding"), network(images).get("embedding")
    )


def test_a_pooler_that_was_never_published_is_left_out(tmp_path: Path, images: Tensor) -> None:
    config = transformers.ViTConfig(**TOKENS, num_labels=5)
    model = saved(tmp_path, config, transformers.ViTForImageClassification)
    network = Pretrained.load(str(tmp_path)).eval()
    assert network.settings["pooling"] == "first"
    assert not [name for name in network.state_dict() if "pooler" in name]
    with torch.no_grad():
        first = model.vit(pixel_values=normed(images)).last_hidden_state[:, 0]
    torch.testing.assert_close(network(images).get("features"), first)


def test_of_pictures_and_texts_the_vision_tower_is_taken(tmp_path: Path, images: Tensor) -> None:
    config = transformers.SiglipConfig(vision_config=TOKENS, text_config=TEXT)
    model = saved(tmp_path, config)
    network = Pretrained.load(str(tmp_path)).eval()
    with torch.no_grad():
        expected = model.vision_model(pixel_values=normed(images)).pooler_output
    torch.testing.assert_close(network(images).get("features"), expected)
    assert network.settings["config"]["model_type"] == "siglip_vision_model"


def test_half_precision_weights_become_float32(tmp_path: Path) -> None:
    model = saved(tmp_path, CONFIGS["dinov2"]())
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    network = Pretrained.load(str(tmp_path))
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_grey_images_are_three_equal_colours(tmp_path: Path, images: Tensor) -> None:
    saved(tmp_path, CONFIGS["resnet"]())
    network = Pretrained.load(str(tmp_path), channels=1).eval()
    grey = images[:, :1]
    torch.testing.assert_close(
        network(grey).get("features"), network(grey.repeat(1, 3, 1, 1)).get("features")
    )


@pytest.mark.parametrize(
    ("values", "side"),
    [
        ({"size": {"shortest_edge": 36}, "crop_size": 32, "do_center_crop": True}, 32),
        ({"size": {"shortest_edge": 36}, "crop_size": 32, "do_center_crop": False}, 36),
        ({"size": 48}, 48),
    ],
)
def test_the_side_is_that_of_its_own_preprocessing(
    tmp_path: Path, values: dict[str, Any], side: int
) -> None:
    saved(tmp_path, CONFIGS["resnet"]())
    write_preprocessing(tmp_path, **values)
    assert Pretrained.load(str(tmp_path)).side == side


def test_preprocessing_that_cannot_be_followed_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, CONFIGS["resnet"]())
    write_preprocessing(tmp_path, size={"height": 32, "width": 48})
    with pytest.raises(UserError, match="expected squares"):
        Pretrained.load(str(tmp_path))
    write_preprocessing(tmp_path, rescale_factor=1 / 127.5)
    with pytest.raises(UserError, match="expected squares and pixels divided by 255"):
        Pretrained.load(str(tmp_path))
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match=r"preprocessor_config\.json"):
        Pretrained.load(str(tmp_path))


def test_weights_in_pickles_are_refused(tmp_path: Path) -> None:
    model = saved(tmp_path, CONFIGS["resnet"]())
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match="has no weights in safetensors; expected"):
        Pretrained.load(str(tmp_path))


def test_a_checkpoint_with_holes_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    saved(tmp_path, CONFIGS["resnet"]())
    weights = load_file(tmp_path / "model.safetensors")
    weights.pop(next(name for name in weights if name.endswith("convolution.weight")))
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lack 1 tensors, such as .*convolution\.weight"):
        Pretrained.load(str(tmp_path))


def test_a_damaged_weight_file_is_one_sentence(tmp_path: Path) -> None:
    saved(tmp_path, CONFIGS["resnet"]())
    (tmp_path / "model.safetensors").write_bytes(b"\1\2\3")
    with pytest.raises(UserError, match="the weights of .* are damaged"):
        Pretrained.load(str(tmp_path))


def test_text_models_are_refused(tmp_path: Path) -> None:
    saved(tmp_path, transformers.BertConfig(**TEXT))
    with pytest.raises(UserError, match="is no vision network: it reads input_ids"):
        Pretrained.load(str(tmp_path))


def test_code_of_a_model_is_never_run(tmp_path: Path) -> None:
    saved(tmp_path, CONFIGS["resnet"]())
    ran = tmp_path / "ran"
    (tmp_path / "own.py").write_text(f"open({str(ran)!r}, 'w')")
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="needs code that comes with it, which is never run here"):
        Pretrained.load(str(tmp_path))
    config.pop("auto_map")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="of the type 'mine', which transformers"):
        Pretrained.load(str(tmp_path))
    assert not ran.exists()


def test_a_known_network_with_code_of_its_own_runs_the_librarys(
    tmp_path: Path, images: Tensor
) -> None:
    model = saved(tmp_path, CONFIGS["resnet"]())
    ran = tmp_path / "ran"
    (tmp_path / "own.py").write_text(f"open({str(ran)!r}, 'w')")
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    features = Pretrained.load(str(tmp_path)).eval()(images).get("features")
    with torch.no_grad():
        torch.testing.assert_close(features, model(normed(images)).pooler_output.flatten(1))
    assert not ran.exists()


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="is not on this machine and the hub cannot be reached"):
        Pretrained.load("nobody/has-this-model")


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read as a model: .*config\.json"):
        Pretrained.load(str(tmp_path))


def test_without_the_extra_one_sentence_says_what_it_brings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"pip install knowbound\[transformers\]` brings it"):
        Pretrained.load("facebook/dinov2-small")


def test_unknown_types_in_settings() -> None:
    with pytest.raises(UserError, match="knows no model of the type 'nonsense'"):
        Pretrained(3, config={"model_type": "nonsense"}, side=32, mean=MEAN, std=STD)


def test_embeddings_of_length_one_where_asked(tmp_path: Path, images: Tensor) -> None:
    saved(tmp_path, next(iter(CONFIGS.values()))())
    network = Pretrained.load(str(tmp_path), 3, unit_length=True).eval()
    again = Pretrained(**network.settings).eval()
    again.load_state_dict(network.state_dict())
    with torch.no_grad():
        embedding = again(images).get("embedding")
        torch.testing.assert_close(embedding, network(images).get("embedding"))
    torch.testing.assert_close(embedding.square().sum(dim=1), torch.ones(2))


def test_the_side_is_known_without_weights(tmp_path: Path) -> None:
    saved(tmp_path, CONFIGS["resnet"]())
    (tmp_path / "model.safetensors").unlink()
    assert pretrained_side(str(tmp_path)) == SIDE
    with pytest.raises(UserError, match="cannot be read as a model"):
        pretrained_side(str(tmp_path / "nothing"))
