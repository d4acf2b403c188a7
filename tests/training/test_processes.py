"""Two processes over one global batch: pairs are formed across them, so loss and gradients are
those of one process."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from knowbound.backbones import LeNet
from knowbound.boundary.boundary import Boundary
from knowbound.cli import main
from knowbound.data.augmentation import Augmentation
from knowbound.errors import UserError
from knowbound.objectives import Contrastive
from knowbound.objectives.batches import BalancedBatches
from knowbound.training.loop import train
from knowbound.training.processes import join_processes
from knowbound.training.settings import Training
from tests.command import knowbound
from tests.samples import blobs, write_folder

SCRIPT = """
import os
import sys
import weakref
import torch
from safetensors.torch import save_file
from knowbound.errors import UserError
from knowbound.training.processes import check_same_start, join_processes, leave_processes
from tests.training.test_processes import loss_and_gradients

torch.set_num_threads(1)
rank = int(os.environ["RANK"])
join_processes()
try:
    check_same_start(100 * rank, "checkpoint")
    sys.exit("different steps were not noticed")
except UserError as error:
    assert "[0, 100]" in str(error), error
for images in map(int, sys.argv[2:]):
    found = loss_and_gradients(images)
    if rank == 0:
        save_file(found, f"{sys.argv[1]}/{images}.safetensors")
group = weakref.ref(torch.distributed.group.WORLD)
leave_processes()
assert group() is None, "something keeps the connection, and with it threads, until Python ends"
"""


ABORT_AT_EXIT = """
import atexit
import os
import time
if os.environ.get("RANK") == "{rank}" and "TORCHELASTIC_RUN_ID" in os.environ:
    atexit.register(os.abort)
if os.environ.get("RANK") == "0":
    replace = os.replace
    def replace_slowly(*paths):
        time.sleep(1)
        replace(*paths)
    os.replace = replace_slowly
"""

SIZES = (12, 13)
"""Images of a batch: one that two processes share evenly, one that they do not."""

RANK_1_MUST_NOT_WRITE = """
import os
if os.environ.get("RANK") == "1":
    def refuse(*paths):
        raise SystemExit(f"process 1 wrote {paths}")
    os.replace = refuse
"""


def launch(
    processes: int, *words: object, path: Path | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """The words as Python's arguments, in several processes on the CPU, as torchrun starts them."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    inherited = os.environ.get("PYTHONPATH")
    paths = os.pathsep.join(map(str, filter(None, (path, Path(__file__).parents[2], inherited))))
    environment = {
        **os.environ,
        "PYTHONPATH": paths,
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    environment.pop("ACCELERATE_USE_CPU", None)  # it must go without
    command = [sys.executable, *torchrun, *map(str, words)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == code, done.stderr[-3000:]
    return done


def loss_and_gradients(images: int) -> dict[str, torch.Tensor]:
    """Of one step on a batch of so many images, in as many processes as there are."""
    torch.manual_seed(0)
    backbone = LeNet(embedding=3, height=16, width=16, hidden=16)
    objective = Contrastive(dim=3, rule=BalancedBatches(images=images, outs=6))
    training = Training(steps=1, augmentation=Augmentation(shift=1), precision="float32")
    result = train(backbone, blobs(), [blobs(first=3, classes=2)], objective, training)
    gradients = {
        name: weight.grad.contiguous()
        for name, weight in backbone.named_parameters()
        if weight.grad is not None
    }
    return {**gradients, "loss": torch.tensor(result.loss)}


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of what two processes found, for each number of images."""
    if not torch.distributed.is_available():
        pytest.skip("this torch has no distributed package")
    folder = tmp_path_factory.mktemp("two")
    (folder / "script.py").write_text(SCRIPT)
    launch(2, folder / "script.py", folder, *SIZES)
    return folder


@pytest.mark.parametrize("images", SIZES, ids=["even", "not divisible"])
def test_two_processes_train_as_one(images: int, by_two: Path) -> None:
    one, two = loss_and_gradients(images), load_file(by_two / f"{images}.safetensors")
    assert two.keys() == one.keys()
    assert len(one) > 5
    for name, expected in one.items():
        assert (two[name] - expected).abs().max() <= 1e-6 * max(1.0, float(expected.abs().max())), (
            name
        )


def test_fit_in_two_processes_prints_and_writes_once(tmp_path: Path) -> None:
    if not torch.distributed.is_available():
        pytest.skip("this torch has no distributed package")
    write_folder(tmp_path / "known", blobs())
    (tmp_path / "known" / "place 0" / "broken.png").write_bytes(b"\x89PNG nothing")
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(RANK_1_MUST_NOT_WRITE)
    words = (
        "-m",
        "knowbound",
        "fit",
        tmp_path / "known",
        "--size",
        16,
        "--steps",
        10,
        "--precision",
        "float32",
        "--detector",
        "nearest_centre",
        "-o",
    )
    one = knowbound(*words[2:], tmp_path / "one")
    assert one.returncode == 0, one.stderr
    two = launch(2, *words, tmp_path / "two", path=tmp_path / "path")
    # The seconds of the training are the machine's: only what stands before them is compared
    heads = [line[:11] for line in two.stdout.splitlines()]
    assert heads == [line[:11] for line in one.stdout.splitlines()]
    assert len(set(heads)) == len(heads)  # nothing is printed twice
    assert (two.stderr.count("broken.png"), two.stderr.count("step 10 of 10")) == (1, 1)
    written = sorted(file.name for file in (tmp_path / "two").iterdir())
    assert written[:2] + written[3:] == ["card.json", "card.md", "model.json"]
    assert re.fullmatch(r"model-[0-9a-f]{16}\.safetensors", written[2])
    first, second = Boundary.load(tmp_path / "one"), Boundary.load(tmp_path / "two")
    # Adam makes steps of what rounding left of gradients that are 0, so not to more digits
    thresholds = [float(one.threshold.thresholds) for one in (first, second)]
    assert thresholds[1] == pytest.approx(thresholds[0], rel=0.05)
    for boundary in (first, second):
        del boundary.about["settings"]["base"]["seconds"]
    for name in ("train_images", "settings", "data_sha256"):
        assert second.about[name] == first.about[name], json.dumps(second.about)


@pytest.mark.parametrize("rank", [0, 1])
def test_model_is_whole_where_a_process_aborts_at_exit(rank: int, tmp_path: Path) -> None:
    if not torch.distributed.is_available():
        pytest.skip("this torch has no distributed package")
    write_folder(tmp_path / "known", blobs())
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(ABORT_AT_EXIT.format(rank=rank))
    words = ("-m", "knowbound", "fit", tmp_path / "known", "-o", tmp_path / "model")
    settings = ("--size", 16, "--steps", 5, "--detector", "nearest_centre", "--no-synthetic")
    done = launch(2, *words, *settings, path=tmp_path / "path", code=1)
    assert "SIGABRT" in done.stderr
    assert not list((tmp_path / "model").glob("checkpoint*"))
    judged = Boundary.load(tmp_path / "model").judge(blobs().take([0, 50, 100]))
    assert judged.decision.shape == (3,)


def test_commands_that_cannot_share_their_work_say_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"LOCAL_RANK": "1", "RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["knowbound", "predict", "model", "pictures"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert (
        "Error in process 1: `knowbound predict` was started in 2 processes"
        in capsys.readouterr().err
    )


def test_processes_that_do_not_find_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "3")
    alone = SimpleNamespace(num_processes=1)
    monkeypatch.setattr("accelerate.Accelerator", lambda **_: alone)
    with pytest.raises(UserError, match="3 processes were started, but 1"):
        join_processes()
