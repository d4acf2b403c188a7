"""The loop of CC-AG: what comes out, resuming, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from knowbound.ccag import CIFAR10, SVHN, CcagProgress, CcagTrained, CcagTraining, train_ccag
from knowbound.data.source import Source
from knowbound.errors import TrainingStoppedError, UserError
from tests.samples import blob_images

SHORT = CcagTraining(steps=2, images=6, noise=4, width=2, sheets=2, checkpoint_every=2)


def colours(per_class: int = 5, channels: int = 3, side: int = 32) -> Source:
    labels = np.repeat(np.arange(2, dtype=np.int64), per_class)
    return Source(
        "blobs", blob_images(labels, np.random.default_rng(0), side, channels), labels, ("a", "b")
    )


def classifier(classes: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 8, stride=8),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(64, classes),
    )


def everything(trained: CcagTrained) -> list[Tensor]:
    networks = (trained.classifier, trained.generator, trained.discriminator)
    return [value for network in networks for value in network.state_dict().values()]


def same(one: CcagTrained, other: CcagTrained) -> bool:
    sheets = one.sheets.keys() == other.sheets.keys() and all(
        (one.sheets[k] == other.sheets[k]).all() for k in one.sheets
    )
    return sheets and all(map(torch.equal, everything(one), everything(other)))


class Killed(BaseException):
    """Stands for SIGKILL in the loop: nothing in the package may catch it."""


def test_two_steps_give_a_trained_classifier_a_generator_and_sheets() -> None:
    network, heard = classifier(), list[CcagProgress]()
    before = [value.clone() for value in network.state_dict().values()]
    trained = train_ccag(network, colours(), SHORT, on_step=heard.append)
    assert trained.classifier is network
    assert not network.training
    assert not trained.generator.training
    assert not any(map(torch.equal, network.state_dict().values(), before))
    assert [(p.step, p.steps) for p in heard] == [(1, 2), (2, 2)]
    assert (trained.images, trained.loss) == (12, heard[-1].loss)
    assert {k: (s.shape, s.dtype) for k, s in trained.sheets.items()} == {
        1: ((64, 3, 32, 32), np.uint8),
        2: ((64, 3, 32, 32), np.uint8),
    }
    assert (trained.sheets[1] != trained.sheets[2]).any()
    assert trained.generator(torch.randn(3, 4)).shape == (3, 3, 32, 32)


def test_same_seed_same_weights_other_seed_others() -> None:
    runs = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(runs))  # the state of the global generator must not matter
        network = classifier()
        torch.manual_seed(len(runs))
        runs.append(train_ccag(network, colours(), replace(SHORT, seed=seed)))
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_the_global_random_numbers_are_left_alone() -> None:
    network = classifier()
    state = torch.get_rng_state()
    train_ccag(network, colours(), SHORT)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("moment", [1, 2, 5, 7])
def test_a_killed_training_resumes_bit_for_bit(moment: int, tmp_path: Path) -> None:
    settings = replace(
        SHORT, steps=8, sheets=4
    )  # checkpoints at 2, 4 and 6, as sheets; the rate falls at 4.8

    def kill(progress: CcagProgress) -> None:
        if progress.step == moment:
            raise Killed

    whole, checkpoint, steps = (
        train_ccag(classifier(), colours(), settings),
        tmp_path / "checkpoint.safetensors",
        list[int](),
    )
    with pytest.raises(Killed):
        train_ccag(classifier(), colours(), settings, checkpoint=checkpoint, on_step=kill)
    torch.manual_seed(moment)
    resumed = train_ccag(
        classifier(),
        colours(),
        settings,
        checkpoint=checkpoint,
        resume=True,
        on_step=lambda p: steps.append(p.step),
    )
    assert steps[0] == (moment - 1) // 2 * 2 + 1
    assert same(resumed, whole)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    settings = replace(SHORT, steps=3)
    train_ccag(
        classifier(), colours(), settings, checkpoint=checkpoint, identity={"images": "some"}
    )
    with pytest.raises(UserError, match="another training"):
        train_ccag(
            classifier(), colours(), replace(settings, beta=0.1), checkpoint=checkpoint, resume=True
        )
    with pytest.raises(UserError, match="images was some, now others"):
        train_ccag(
            classifier(),
            colours(),
            settings,
            checkpoint=checkpoint,
            resume=True,
            identity={"images": "others"},
        )


def test_no_sheets_is_allowed_and_resumes(tmp_path: Path) -> None:
    checkpoint, settings = tmp_path / "checkpoint.safetensors", replace(SHORT, steps=3, sheets=0)
    first = train_ccag(classifier(), colours(), settings, checkpoint=checkpoint)
    assert first.sheets == {}
    assert same(
        train_ccag(classifier(), colours(), settings, checkpoint=checkpoint, resume=True), first
    )


@pytest.mark.parametrize(("channels", "side"), [(1, 32), (3, 28)])
def test_other_images_are_refused(channels: int, side: int) -> None:
    with pytest.raises(ValueError, match=r"makes \(3, 32, 32\)"):
        train_ccag(classifier(), colours(channels=channels, side=side), SHORT)


def test_a_classifier_of_other_classes_and_a_single_class_are_refused() -> None:
    with pytest.raises(ValueError, match=r"gives \(1, 5\)"):
        train_ccag(classifier(classes=5), colours(), SHORT)
    with pytest.raises(UserError, match="at least two"):
        train_ccag(classifier(classes=1), colours().take_classes(["a"]), SHORT)


def test_a_loss_that_is_not_a_number_stops_with_an_explanation() -> None:
    network = classifier()
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingStoppedError, match="at step 1; lower the learning rate"):
        train_ccag(network, colours(), SHORT)


def test_images_without_a_class_are_never_used() -> None:
    source = colours()
    strange = np.full((50, 3, 32, 32), 255, dtype=np.uint8)
    labels = np.concatenate([source.labels, np.full(50, -1)])
    mixed = Source(
        "mixed", np.concatenate([source.images(slice(None)), strange]), labels, source.class_names
    )
    assert same(train_ccag(classifier(), mixed, SHORT), train_ccag(classifier(), source, SHORT))


def test_the_rate_falls_to_a_tenth_after_three_fifths() -> None:
    rates = [CcagTraining(steps=10).rate_at(step) for step in range(10)]
    assert rates == pytest.approx([2e-4] * 6 + [2e-5] * 4)


def test_published_settings() -> None:
    assert [(s.beta, s.images) for s in (SVHN, CIFAR10)] == [(1.0, 128), (0.1, 64)]
    assert [
        round(s.steps * s.images / images) for s, images in ((SVHN, 73257), (CIFAR10, 50000))
    ] == [100, 100]


def test_sheets_are_at_equal_intervals_and_never_at_the_start() -> None:
    assert CcagTraining(steps=60, sheets=6).sheet_steps() == [10, 20, 30, 40, 50, 60]
    assert CcagTraining(steps=2, sheets=6).sheet_steps() == [1, 2]


@pytest.mark.parametrize(
    "settings", [{"steps": 0}, {"images": 1}, {"learning_rate": 0.0}, {"beta": -1.0}]
)
def test_settings_that_cannot_be_meant_are_errors(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        CcagTraining(**settings)  # type: ignore[arg-type]
