"""The loop: determinism, resuming, and stopping with an explanation."""

import math
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from knowbound.backbones import LeNet, WideResNet
from knowbound.data.augmentation import Augmentation
from knowbound.data.source import Source
from knowbound.errors import TrainingStoppedError, UserError
from knowbound.objectives import Contrastive, CrossEntropy
from knowbound.objectives.batches import BalancedBatches, RandomBatches
from knowbound.training.loop import Pool, Progress, ahead, train
from knowbound.training.settings import Training
from tests.samples import blobs

OBJECTIVE = Contrastive(dim=3, rule=BalancedBatches(images=12, outs=6))
SHORT = Training(
    steps=30, augmentation=Augmentation(shift=1), precision="float32", checkpoint_every=7
)


def network(seed: int = 0) -> LeNet:
    torch.manual_seed(seed)
    return LeNet(embedding=3, height=16, width=16, hidden=16)


def classifier() -> LeNet:
    torch.manual_seed(0)
    return LeNet(logits=3, height=16, width=16, hidden=16)


def weights(backbone: nn.Module) -> Tensor:
    return torch.cat([value.double().flatten() for value in backbone.state_dict().values()])


class Killed(BaseException):
    """Stands for SIGKILL in the loop: nothing in the package may catch it."""


def test_same_seed_same_weights_other_seed_others() -> None:
    found = []
    for seed in (0, 0, 1):
        backbone = network()
        train(
            backbone,
            blobs(),
            [blobs(first=3, classes=2)],
            OBJECTIVE,
            replace(SHORT, steps=5, seed=seed),
        )
        found.append(weights(backbone))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("moment", [3, 7, 8, 20, 29])
@pytest.mark.parametrize("kind", ["lenet", "wide resnet with batch norm"])
def test_a_killed_training_resumes_bit_for_bit(moment: int, kind: str, tmp_path: Path) -> None:
    def fresh() -> nn.Module:
        torch.manual_seed(0)
        return (
            network() if kind == "lenet" else WideResNet(embedding=3, depth=10, widen=1, channels=1)
        )

    training = replace(
        SHORT, steps=30 if kind == "lenet" else 10, checkpoint_every=7 if kind == "lenet" else 2
    )
    moment = moment if kind == "lenet" else moment // 3
    source, outs = blobs(), [blobs(first=3, classes=2)]
    whole = fresh()
    train(whole, source, outs, OBJECTIVE, training)

    def kill(progress: Progress) -> None:
        if progress.step == moment:
            raise Killed

    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Killed):
        train(fresh(), source, outs, OBJECTIVE, training, checkpoint=checkpoint, on_step=kill)
    resumed, steps = fresh(), []
    torch.manual_seed(moment)  # the state of the global generator must not matter
    train(
        resumed,
        source,
        outs,
        OBJECTIVE,
        training,
        checkpoint=checkpoint,
        resume=True,
        on_step=lambda p: steps.append(p.step),
    )
    assert torch.equal(weights(resumed), weights(whole))
    every = training.checkpoint_every
    assert (
        steps[0] == (moment - 1) // every * every + 1
    )  # a kill inside the callback comes before that step's checkpoint


def test_what_is_interrupted_between_two_steps_is_kept(tmp_path: Path) -> None:
    source, checkpoint = blobs(), tmp_path / "checkpoint.safetensors"
    whole, resumed, steps = network(), network(), []
    resumed.load_state_dict(whole.state_dict())
    expected = train(whole, source, [], OBJECTIVE, SHORT)
    first = deepcopy(resumed)

    def interrupt(progress: Progress) -> None:
        if progress.step == 5:  # the next checkpoint would have come after 7
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(first, source, [], OBJECTIVE, SHORT, checkpoint=checkpoint, on_step=interrupt)
    again = {"checkpoint": checkpoint, "resume": True}
    note = {"on_step": lambda step: steps.append(step.step)}
    trained = train(resumed, source, [], OBJECTIVE, SHORT, **note, **again)
    assert steps[0] == 6
    assert trained.images == expected.images, "those of the first run count too"
    assert torch.equal(weights(resumed), weights(whole))


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    train(
        network(),
        blobs(),
        [],
        OBJECTIVE,
        replace(SHORT, steps=8),
        checkpoint=checkpoint,
        identity={"images": "a"},
    )
    with pytest.raises(UserError, match="images was a, now b"):
        train(
            network(),
            blobs(),
            [],
            OBJECTIVE,
            replace(SHORT, steps=8),
            checkpoint=checkpoint,
            resume=True,
            identity={"images": "b"},
        )


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.write_bytes(b"no safetensors")
    with pytest.raises(UserError, match="cannot be read.*remove it"):
        train(network(), blobs(), [], OBJECTIVE, SHORT, checkpoint=checkpoint, resume=True)


def test_out_images_take_part_and_their_labels_do_not() -> None:
    """ODM learns to keep out images away; what their source called them changes nothing."""
    source, outs = blobs(), blobs(first=3, classes=2)
    labelled, unlabelled, without = network(), network(), network()
    train(labelled, source, [outs], OBJECTIVE, SHORT)
    train(unlabelled, source, [outs.without_labels()], OBJECTIVE, SHORT)
    train(without, source, [], OBJECTIVE, SHORT)
    assert torch.equal(weights(labelled), weights(unlabelled))
    assert not torch.equal(weights(labelled), weights(without))


def test_training_learns_to_tell_the_classes_apart() -> None:
    source = blobs()
    backbone = classifier()
    train(backbone, source, [], CrossEntropy(RandomBatches(images=24)), replace(SHORT, steps=60))
    logits = backbone(torch.from_numpy(source.images(slice(None))).float() / 255).logits
    assert (logits.argmax(dim=1).numpy() == source.labels).mean() > 0.95


def test_a_loss_that_is_not_a_number_stops_with_an_explanation() -> None:
    with pytest.raises(TrainingStoppedError, match="lower the learning rate"):
        train(
            network(),
            blobs(),
            [],
            OBJECTIVE,
            replace(SHORT, steps=50, learning_rate=1e30, schedule="constant"),
        )


def test_collapsed_embeddings_stop_with_an_explanation() -> None:
    backbone = network()
    weight = backbone.heads["embedding"].get_parameter("weight")
    nn.init.zeros_(weight)
    weight.requires_grad_(False)
    with pytest.raises(TrainingStoppedError, match="the same point"):
        train(backbone, blobs(), [], OBJECTIVE, replace(SHORT, steps=60))


def test_one_class_and_a_class_with_one_image_are_refused() -> None:
    with pytest.raises(UserError, match="has 1 class; expected at least two"):
        train(network(), blobs(classes=1), [], OBJECTIVE, SHORT)
    source = blobs(per_class=3)
    with pytest.raises(UserError, match="'place 2'.*fewer than 2"):
        train(network(), source.take(np.arange(7)), [], OBJECTIVE, SHORT)


def test_pool_gives_the_images_of_every_source_in_order() -> None:
    first, second = blobs(per_class=2), blobs(per_class=3, first=3, classes=2)
    floats = Source(
        "f", second.pixels[:].astype(np.float32) / 255, second.labels, second.class_names
    )
    pool = Pool(first, [second, floats])
    assert pool.labels.tolist() == [0, 0, 1, 1, 2, 2] + [-1] * 6 + [-2] * 6
    images = pool.images(np.array([17, 0, 6, 12]))
    expected = (
        np.stack([second.pixels[5], first.pixels[0], second.pixels[0], second.pixels[0]]).astype(
            np.float32
        )
        / 255
    )
    np.testing.assert_allclose(images.numpy(), expected, atol=1e-7)


def test_one_cycle_rises_for_30_percent_and_falls_to_zero() -> None:
    rates = [Training(steps=100, learning_rate=0.5).rate_at(step) for step in range(100)]
    assert max(rates) == pytest.approx(0.5)
    assert rates.index(max(rates)) == 30
    assert rates[0] == pytest.approx(0.02)
    assert rates[-1] < 0.001
    assert rates[65] == pytest.approx(0.25 * (1 + math.cos(math.pi * 0.5)))
    sooner = [Training(steps=100, learning_rate=0.5, rise=0.1).rate_at(step) for step in range(100)]
    assert (sooner.index(max(sooner)), sooner[0], sooner[55]) == (10, rates[0], pytest.approx(0.25))
    with pytest.raises(ValueError, match=r"rise over 1\.0"):
        Training(rise=1.0)


def test_a_constant_rate_drops_to_a_tenth_at_each_share() -> None:
    training = Training(steps=100, learning_rate=0.5, schedule="constant", drops=(0.05, 0.75))
    assert [training.rate_at(step) for step in (0, 4, 5, 74, 75, 99)] == pytest.approx(
        [0.5, 0.5, 0.05, 0.05, 0.005, 0.005]
    )


def test_l2_is_the_gradient_of_a_penalty_in_the_loss() -> None:
    source, training = (
        blobs(),
        replace(SHORT, steps=4, l2=0.3, schedule="constant", augmentation=Augmentation()),
    )
    ours, theirs = network(), network()
    train(ours, source, [], OBJECTIVE, training)
    batches, pool, adam = (
        OBJECTIVE.batches(source.labels, 0),
        Pool(source, []),
        torch.optim.Adam(theirs.parameters(), 2e-3),
    )
    for step in range(4):
        loss = OBJECTIVE.loss(
            theirs(pool.images(batches[step])), torch.from_numpy(source.labels[batches[step]])
        )
        adam.zero_grad()
        (loss + 0.5 * 0.3 * sum(p.square().sum() for p in theirs.parameters())).backward()
        adam.step()
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=0, atol=1e-4)


@pytest.mark.parametrize("in_thread", [False, True])
def test_ahead_keeps_the_order_and_passes_errors_on(in_thread: bool) -> None:
    assert list(ahead(lambda step: step * step, range(7), in_thread=in_thread)) == [
        0,
        1,
        4,
        9,
        16,
        25,
        36,
    ]
    assert list(ahead(lambda step: step, [], in_thread=in_thread)) == []
    with pytest.raises(ZeroDivisionError):
        list(ahead(lambda step: 1 // (3 - step), range(7), in_thread=in_thread))


def test_bf16_trains() -> None:
    trained = train(network(), blobs(), [], OBJECTIVE, replace(SHORT, steps=3, precision="bf16"))
    assert trained.pace.precision == "bf16"
    assert math.isfinite(trained.loss)


def test_small_images_first() -> None:
    """The sizes the network sees, step by step."""
    seen: list[tuple[int, ...]] = []

    class Watching(WideResNet):
        def activations(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
            seen.append(tuple(images.shape[-2:]))
            return super().activations(images)

    training = replace(
        SHORT,
        steps=8,
        channels_last=True,
        compile=False,
        resolution=((0.0, 0.5), (0.25, 0.75), (0.5, 1.0)),
    )
    train(Watching(3, depth=10, widen=1, channels=1), blobs(), [], OBJECTIVE, training)
    assert seen == [(8, 8)] * 2 + [(12, 12)] * 2 + [(16, 16)] * 4


@pytest.mark.parametrize(
    "resolution",
    [(), ((0.5, 1.0),), ((0.0, 0.0),), ((0.0, 1.5),), ((0.0, 0.5), (0.6, 0.7), (0.3, 1.0))],
)
def test_resolution_is_checked(resolution: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match="shares of the steps"):
        Training(resolution=resolution)


@pytest.mark.parametrize(
    "settings", [{"steps": 0}, {"learning_rate": 0.0}, {"learning_rate": float("nan")}]
)
def test_settings_are_checked(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected both above 0"):
        Training(**settings)  # type: ignore[arg-type]


def test_two_kinds_of_decay_are_refused() -> None:
    with pytest.raises(ValueError, match="expected only one"):
        Training(weight_decay=0.1, l2=0.1)
