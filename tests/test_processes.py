"""Two processes over one global batch: pairs are formed across them, so loss and gradients are those of one process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = """
import sys
import torch
from safetensors.torch import save_file
from knowbound.backbones import LeNet
from knowbound.objectives import Contrastive
from knowbound.objectives.batches import BalancedBatches
from knowbound.training import Training, train
from knowbound.data.augmentation import Augmentation
from tests.samples import blobs

torch.set_num_threads(1)
torch.manual_seed(0)
backbone = LeNet(3, height=16, width=16, hidden=16)
objective = Contrastive(dim=3, rule=BalancedBatches(images=int(sys.argv[2]), outs=6))
training = Training(steps=1, augmentation=Augmentation(shift=1), precision="float32")
result = train(backbone, blobs(), [blobs(first=3, classes=2)], objective, training)
if int(__import__("os").environ.get("RANK", "0")) == 0:
    gradients = {name: weight.grad.contiguous() for name, weight in backbone.named_parameters()}
    save_file({**gradients, "loss": torch.tensor(result.loss)}, sys.argv[1])
"""


def loss_and_gradients(processes: int, images: int, folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    script, out = folder / "script.py", folder / f"{processes}-{images}.safetensors"
    script.write_text(SCRIPT)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, *launch, str(script), str(out), str(images)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return load_file(out)


@pytest.mark.parametrize("images", [12, 13], ids=["even", "not divisible"])
def test_two_processes_train_as_one(images: int, tmp_path: Path) -> None:
    if not torch.distributed.is_available():
        pytest.skip("this torch has no distributed package")
    one, two = loss_and_gradients(1, images, tmp_path), loss_and_gradients(2, images, tmp_path)
    assert two.keys() == one.keys()
    for name, expected in one.items():
        assert (two[name] - expected).abs().max() <= 1e-6 * max(1.0, float(expected.abs().max())), name
