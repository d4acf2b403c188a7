"""The loop: images, backbone and objective -> a trained backbone.

Everything random is a function of (seed, step) alone, so a training that was killed continues bit
for bit from its last checkpoint, and several processes draw the same batches.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from knowbound.backbones.backbone import as_backbone
from knowbound.data.source import Source, to_unit_interval
from knowbound.errors import TrainingStoppedError, UserError
from knowbound.objectives.objective import Objective
from knowbound.provenance import commit
from knowbound.training.checkpoint import Spent, read_checkpoint, save_checkpoint
from knowbound.training.pace import Pace, choose_pace
from knowbound.training.processes import (
    check_same_start,
    from_main,
    gather_outputs,
    join_processes,
)
from knowbound.training.settings import Training
from knowbound.values import JsonObject

T = TypeVar("T")
CHECK_EVERY = 50
LEAST_SPREAD = 1e-3
"""Root mean square distance of a batch's embeddings from their mean under which they count as
collapsed."""


@dataclass(frozen=True)
class Progress:
    """What the loop reports after a step: steps done, the loss, and images per second since the
    start or resume."""

    step: int
    steps: int
    loss: float
    images_per_second: float
    stage: str = "training"
    """What is trained: a training may start from a base that is trained first."""


@dataclass(frozen=True)
class Trained:
    """What a training was: seconds and images (through the backbone) of all its runs, its last loss,
    what it ran on, and the commits whose code ran it, in order."""

    seconds: float
    images: int
    loss: float
    pace: Pace
    hardware: str
    is_main_process: bool = True
    """Of several processes one is the main one: it alone writes files."""
    commits: tuple[str, ...] = ()


class Pool:
    """The images of several sources under one index: in-distribution with their labels, the k-th
    out set with label -1 - k."""

    def __init__(self, source: Source, outs: Sequence[Source]) -> None:
        self.sources = [source, *outs]
        self.starts = np.cumsum([0, *(len(s) for s in self.sources)])
        self.labels = np.concatenate(
            [source.labels, *(np.full(len(o), -1 - k) for k, o in enumerate(outs))]
        )

    def images(self, indices: NDArray[np.int64]) -> Tensor:
        """Some of the images.

        Args:
            indices: (B,) positions in the pool.

        Returns:
            (B, C, H, W) float32 in [0, 1], in that order.
        """
        owner = np.searchsorted(self.starts, indices, side="right") - 1
        out = np.empty((len(indices), *self.sources[0].image_shape), dtype=np.float32)
        for which in np.unique(owner):
            mine = owner == which
            out[mine] = to_unit_interval(
                self.sources[which].images(indices[mine] - self.starts[which])
            )
        return torch.from_numpy(out)


def train(
    backbone: nn.Module,
    source: Source,
    outs: Sequence[Source],
    objective: Objective,
    training: Training,
    *,
    checkpoint: Path | None = None,
    resume: bool = False,
    identity: JsonObject | None = None,
    on_step: Callable[[Progress], None] | None = None,
) -> Trained:
    """Train the backbone in place, on the device accelerate finds (CPU, a GPU, or one of several
    processes of torchrun).

    The same seed, machine and settings give the same weights, byte for byte on a CPU.

    Args:
        backbone: a ``Backbone``, or a module of your own that gives one tensor (N, D): what the
            objective reads first.
        source: in-distribution images with labels 0..C-1.
        outs: sets of seen-out images; their labels are not looked at.
        objective: the loss, and which images go together in a batch.
        training: for how long, and how.
        checkpoint: where the state goes every ``training.checkpoint_every`` steps, and where
            ``resume`` takes it from.
        resume: whether to continue from the checkpoint, where there is one.
        identity: what a checkpoint must agree with beside the settings, as JSON values.
        on_step: called after every step, in the main process.

    Returns:
        What the training was.

    Raises:
        UserError: classes that cannot be trained on, or a checkpoint of another training.
        TrainingStoppedError: a loss that is not a number, or embeddings that are all one point.
    """
    check_classes(source)
    backbone = as_backbone(backbone, objective.heads[0])
    accelerator = join_processes()
    device = accelerator.device
    pool = Pool(source, outs)
    batches = objective.batches(pool.labels, training.seed)
    identity = {**(identity or {}), "training": asdict(training), "objective": objective.to_dict()}
    saved = read_checkpoint(checkpoint, identity) if checkpoint and resume else None
    check_same_start(saved.step if saved else 0, checkpoint)
    backbone.to(device).train()
    pace = Pace(**saved.pace) if saved else _pace(device, training)
    backbone.to(memory_format=pace.memory_format)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(
        backbone.parameters(),
        training.learning_rate,
        weight_decay=training.l2 or training.weight_decay,
        decoupled_weight_decay=not training.l2,
        fused=device.type != "mps",
    )
    first = saved.restore(backbone, optimizer) if saved else 0
    model = pace.model(
        accelerator.prepare_model(backbone, evaluation_mode=accelerator.num_processes == 1)
    )

    def batch_at(step: int) -> tuple[Tensor, NDArray[np.int64]]:
        indices, mine = (
            batches[step],
            slice(accelerator.process_index, None, accelerator.num_processes),
        )
        inputs = _inputs(pool, indices, training, step)[mine]
        return inputs.to(device, memory_format=pace.memory_format, non_blocking=True), pool.labels[
            indices
        ]

    before = saved.spent if saved else Spent()
    started, images, loss = time.perf_counter(), 0, float("nan")
    steps = range(first, training.steps)
    with torch.random.fork_rng(devices=[]):
        for step, (inputs, batch_labels) in zip(
            steps, ahead(batch_at, steps, in_thread=device.type != "cpu"), strict=True
        ):
            for group in optimizer.param_groups:
                group["lr"] = training.rate_at(step)
            _seed(device, _mix(training.seed, step, 1))  # dropout
            with torch.autocast(device.type, torch.bfloat16, enabled=pace.precision == "bf16"):
                outputs = model(inputs)
            everyones = torch.from_numpy(np.maximum(batch_labels, -1)).to(device)
            outputs, labels = gather_outputs(
                outputs, everyones, accelerator.process_index, accelerator.num_processes
            )
            value = objective.loss(outputs, labels)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            if training.clip:
                nn.utils.clip_grad_norm_(backbone.parameters(), training.clip)
            optimizer.step()
            images += len(batch_labels)
            loss = value.item()
            _check_health(step, loss, outputs.get(objective.heads[0]), training)
            done = step + 1
            if not accelerator.is_main_process:
                continue
            place = checkpoint if done < training.steps else None
            spent = before.and_also(time.perf_counter() - started, images, commit())
            state = (done, backbone, optimizer, identity, pace.to_dict(), spent)
            if on_step:
                rate = images / (time.perf_counter() - started)
                try:
                    on_step(Progress(done, training.steps, loss, rate))
                except KeyboardInterrupt:  # between two steps: what was done is kept
                    if place:
                        save_checkpoint(place, *state)
                    raise
            if place and done % training.checkpoint_every == 0:
                save_checkpoint(place, *state)
    accelerator.wait_for_everyone()  # none leaves while another still sends or receives
    backbone.eval()
    spent = before.and_also(time.perf_counter() - started, images, commit())
    return Trained(
        spent.seconds,
        spent.images,
        loss,
        pace,
        describe_hardware(device),
        accelerator.is_main_process,
        spent.commits,
    )


def check_classes(source: Source) -> None:
    """Check that there are at least two classes with at least two images each.

    Args:
        source: of the training images.

    Raises:
        UserError: there are not.
    """
    counts = np.bincount(source.labels[source.labels >= 0], minlength=len(source.class_names))
    if len(counts) < 2:
        raise UserError(
            f"{source.name!r} has {len(counts)} class; expected at least two: what sets classes "
            "apart is learned from the difference between them"
        )
    small = [name for name, count in zip(source.class_names, counts, strict=True) if count < 2]
    if small:
        raise UserError(
            f"the classes {small} of {source.name!r} have fewer than 2 training images; expected "
            "at least 2 of each: add images or remove the class"
        )


def ahead(make: Callable[[int], T], steps: Iterable[int], *, in_thread: bool) -> Iterator[T]:
    """The results of ``make(step)`` in order; in a thread one step ahead, so that an accelerator
    need not wait for its images.

    On a CPU the thread would only take the cores from the network.

    Args:
        make: of a step.
        steps: in order.
        in_thread: whether to work ahead.
    """
    if not in_thread:
        yield from map(make, steps)
        return
    with ThreadPoolExecutor(1) as thread:
        waiting: deque[Future[T]] = deque()
        for step in steps:
            waiting.append(thread.submit(make, step))
            if len(waiting) > 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _pace(device: torch.device, training: Training) -> Pace:
    """The pace of this training, the same in every process: the main one's."""
    pace = choose_pace(
        device,
        training.steps,
        precision=training.precision,
        channels_last=training.channels_last,
        compile=training.compile,
    )
    return Pace(**from_main(pace.to_dict()))


def describe_hardware(device: torch.device) -> str:
    """The processor or accelerator in words, with the number of threads.

    Args:
        device: that was trained on.
    """
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{device.type}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"


def _seed(device: torch.device, seed: int) -> None:
    """Seed what a device draws dropout from.

    ``torch.manual_seed`` seeds every accelerator too, and where none is there it notes that, with
    the whole stack of calls, for later: a hundredth of a small network's step.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def _mix(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _inputs(pool: Pool, indices: NDArray[np.int64], training: Training, step: int) -> Tensor:
    generator = torch.Generator().manual_seed(_mix(training.seed, step, 0))
    images = training.augmentation(pool.images(indices), generator)
    scale = training.scale_at(step)
    if scale == 1:
        return images
    size = [max(1, round(side * scale)) for side in images.shape[-2:]]
    return interpolate(images, size, mode="bilinear", antialias=True)


def _check_health(step: int, loss: float, embeddings: Tensor, training: Training) -> None:
    if not math.isfinite(loss):
        raise TrainingStoppedError(
            f"the loss became {loss} at step {step + 1}; lower the learning rate (now "
            f"{training.learning_rate:g}) or train in float32"
        )
    if (step + 1) % CHECK_EVERY or len(embeddings) < 2:
        return
    detached = embeddings.detach().float()
    spread = (detached - detached.mean(dim=0)).square().sum(dim=1).mean().sqrt().item()
    if spread < LEAST_SPREAD:
        raise TrainingStoppedError(
            f"after {step + 1} steps every image is mapped to the same point (spread "
            f"{spread:.1e}); lower the learning rate (now {training.learning_rate:g}), or check "
            "that the images of different classes do differ"
        )
