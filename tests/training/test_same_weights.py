"""A short training gives the weights that it gave before the package was put into rooms.

The digests were written by the code of commit d43c39d, on a CPU with AVX2 and torch 2.13.  Another
machine or another torch may round otherwise.  So a few steps of plain torch are taken first, and
where they differ from what they were there, the trainings cannot be compared.
"""

import hashlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from knowbound.backbones import Backbone, LeNet, WideResNet
from knowbound.data.augmentation import Augmentation
from knowbound.data.source import Source
from knowbound.objectives import Contrastive, CrossEntropy
from knowbound.objectives.batches import BalancedBatches, RandomBatches
from knowbound.objectives.objective import Objective
from knowbound.training.loop import train
from knowbound.training.settings import Training

TRAINING = Training(
    steps=20,
    augmentation=Augmentation(shift=1),
    precision="float32",
    channels_last=True,
    compile=False,
    weight_decay=1e-4,
)
BATCHES = BalancedBatches(images=12, outs=6)
OBJECTIVES: dict[str, Objective] = {
    "odm": Contrastive(dim=3, rule=BATCHES),
    "a share of same-class pairs": Contrastive(dim=3, rule=BATCHES, same_share=0.25),
    "cross-entropy": CrossEntropy(rule=RandomBatches(16)),
}
WEIGHTS = {
    ("odm", "lenet"): "3864443edc9abd95",
    ("odm", "wrn"): "d0d8f1b70cd858d1",
    ("a share of same-class pairs", "lenet"): "b672fc100936ca3a",
    ("a share of same-class pairs", "wrn"): "f3f21a6cf976bbd6",
    ("cross-entropy", "lenet"): "ccf7ba9b6de999d9",
    ("cross-entropy", "wrn"): "83dd3bf8b0ae1e23",
}
ARITHMETIC = "8e4e9540803f4660"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums are rounded in the order of the threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def digest(network: nn.Module) -> str:
    """Of all float32 weights and running means, in order."""
    content = hashlib.sha256()
    for value in network.state_dict().values():
        if value.dtype == torch.float32:
            content.update(value.detach().contiguous().numpy().tobytes())
    return content.hexdigest()[:16]


def sources() -> tuple[Source, Source]:
    """Three classes that are dark at different rows, and noise."""
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (120, 1, 16, 16)).astype(np.uint8)
    labels = np.repeat(np.arange(3, dtype=np.int64), 40)
    for label in range(3):
        images[labels == label, :, 4 * label : 4 * label + 4] //= 4
    noise = rng.integers(0, 256, (40, 1, 16, 16)).astype(np.uint8)
    known = Source("known", images, labels, ("a", "b", "c"))
    return known, Source("noise", noise, np.full(40, -1, dtype=np.int64))


def network(kind: str, objective: Objective) -> Backbone:
    heads = objective.head_sizes(3)
    torch.manual_seed(0)
    if kind == "lenet":
        return LeNet(**heads, height=16, width=16, hidden=16)
    return WideResNet(**heads, depth=10, widen=1, channels=1)


def plain_steps() -> str:
    """Five steps of Adam on a small network of plain torch layers."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 5), nn.Flatten()
    )
    model = nn.Sequential(layers, nn.Linear(1600, 3)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(
        model.parameters(), 1e-3, weight_decay=1e-4, decoupled_weight_decay=True, fused=True
    )
    images = torch.rand(18, 1, 16, 16).to(memory_format=torch.channels_last)
    for _ in range(5):
        found = model(images).double()
        squares = (found @ found.T).diagonal().sum() - torch.cdist(found, found).sqrt().mean()
        loss = squares + torch.logsumexp(found, dim=1).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return digest(model)


@pytest.mark.parametrize(("name", "kind"), WEIGHTS)
def test_the_weights_are_the_same_byte_for_byte(name: str, kind: str) -> None:
    if plain_steps() != ARITHMETIC:
        pytest.skip("plain torch rounds otherwise here than where the weights were written")
    objective = OBJECTIVES[name]
    known, noise = sources()
    trained = network(kind, objective)
    train(trained, known, [noise] if objective.uses_outs else [], objective, TRAINING)
    assert digest(trained) == WEIGHTS[name, kind]
