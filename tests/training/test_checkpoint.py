"""A training's state on disk: all of it, of this training, and in the memory order it is to have."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from knowbound.backbones import WideResNet
from knowbound.errors import UserError
from knowbound.training.checkpoint import read_checkpoint, save_checkpoint

IDENTITY = {"images": {"known": "abc"}, "training": {"steps": 5, "drops": (0.1, 0.2)}}


def network() -> WideResNet:
    return WideResNet(embedding=3, depth=10, widen=1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def trained(steps: int) -> tuple[WideResNet, torch.optim.Adam]:
    torch.manual_seed(0)
    made = network()
    adam = torch.optim.Adam(made.parameters(), 1e-2)
    go_on(made, adam, steps)
    return made, adam


def go_on(made: nn.Module, adam: torch.optim.Adam, steps: int) -> None:
    torch.manual_seed(1)
    for _ in range(steps):
        adam.zero_grad()
        made(torch.rand(4, 3, 16, 16)).embedding.square().sum().backward()
        adam.step()


def state(made: nn.Module, adam: torch.optim.Adam) -> list[Tensor]:
    moments = adam.state_dict()["state"]
    named = [moments[index][name] for index in sorted(moments) for name in sorted(moments[index])]
    return [*made.state_dict().values(), *map(torch.as_tensor, named)]


def test_the_next_steps_are_those_of_a_training_that_was_not_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "checkpoint.safetensors"
    whole, adam = trained(3)
    save_checkpoint(path, 3, whole, adam, IDENTITY, {"precision": "bf16"})
    torch.manual_seed(5)
    other = network()
    fresh = torch.optim.Adam(other.parameters(), 1e-2)
    saved = read_checkpoint(path, IDENTITY)
    assert saved is not None
    assert (saved.restore(other, fresh), saved.pace) == (3, {"precision": "bf16"})
    for one, same in zip(state(whole, adam), state(other, fresh), strict=True):
        assert torch.equal(one, same)
    go_on(whole, adam, 2)
    go_on(other, fresh, 2)
    for one, same in zip(state(whole, adam), state(other, fresh), strict=True):
        assert torch.equal(one, same)
    for parameter in other.parameters():
        moment = fresh.state[parameter]["exp_avg"]
        assert moment.stride() == parameter.stride()


def test_no_file_is_no_checkpoint(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path / "none.safetensors", IDENTITY) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": {"known": "xyz"}}, "images.known was abc, now xyz"),
        ({"training": {"steps": 6, "drops": (0.1, 0.2)}}, "training.steps was 5, now 6"),
        ({"training": {"steps": 5}}, r"training.drops was \[0.1, 0.2\], now None"),
        ({"more": 1}, "more was None, now 1"),
    ],
)
def test_of_another_training_it_says_what_differs(
    changes: dict[str, object], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, 1, *trained(1), IDENTITY)
    with pytest.raises(UserError, match=words):
        read_checkpoint(path, IDENTITY | changes)


def test_another_file_is_none_of_ours(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="has the format None.*remove it"):
        read_checkpoint(path, IDENTITY)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(UserError, match="cannot be read.*remove it"):
        read_checkpoint(path, IDENTITY)


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        save_checkpoint(tmp_path / "file" / "checkpoint.safetensors", 1, *trained(1), IDENTITY)
