"""Several processes over one batch, started by torchrun or ``accelerate launch``: how they find
together and share embeddings."""

import gc
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from knowbound.errors import UserError
from knowbound.outputs import Outputs


def join_processes() -> Any:
    """The ``Accelerator`` of this process: alone, or one of as many as were started.

    Raises:
        UserError: the processes did not find together: each would train, and write, a model of its
            own.
    """
    from accelerate import Accelerator

    if "LOCAL_RANK" not in os.environ:
        return Accelerator()
    # its functions keep, as a default argument, the group that is there when it is first imported,
    # which DDP does late: the group's threads would then live until Python ends, and abort it
    import torch.distributed.nn

    found = torch.accelerator.current_accelerator(check_available=True)
    # without being told of the CPU, accelerate leaves processes without a GPU each on its own;
    # Apple's GPU cannot join them
    accelerator = Accelerator(cpu=found is None or found.type == "mps")
    expected = int(os.environ.get("WORLD_SIZE", "1"))
    if accelerator.num_processes != expected:
        raise UserError(
            f"{expected} processes were started, but {accelerator.num_processes} found together; "
            "start them with `torchrun --nproc-per-node N -m knowbound ...`, or start one"
        )
    return accelerator


def leave_processes() -> None:
    """End the processes' connection and its threads, if there is one.

    A thread that still held a tensor while Python ends would abort the process.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        gc.collect()  # DDP keeps the connection, and itself in a circle
        torch.distributed.destroy_process_group()


def wait_for_processes() -> None:
    """Return when all processes have come here; at once where there is one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()


def from_main(value: Any) -> Any:
    """The main process's value, in every process.

    Args:
        value: of this process; any that can be pickled.
    """
    from accelerate.utils import broadcast_object_list

    shared: list[Any] = broadcast_object_list([value])
    return shared[0]


def check_same_start(step: int, checkpoint: Path | None) -> None:
    """Check that all processes continue from the same step.

    Args:
        step: of this process.
        checkpoint: for the error.

    Raises:
        UserError: they do not, as on machines without a common disk.
    """
    from accelerate.utils import gather_object

    steps = gather_object([step])
    if len(set(steps)) > 1:
        raise UserError(
            f"the processes go on from different steps {steps}, as {checkpoint} is not the same "
            "file for all; name an output folder on a disk that all machines share, or copy the "
            "checkpoint to each"
        )


def gather_outputs(
    outputs: Outputs, labels: Tensor, index: int, count: int
) -> tuple[Outputs, Tensor]:
    """The outputs and labels of a whole batch, in the same order in every process: pairs are
    formed across processes.

    The gradient that comes back is the sum over the processes, each of which computes the whole
    loss; DDP then averages.

    Args:
        outputs: of this process's images, every ``count``-th of the batch from ``index`` on.
        labels: (B,) of all images of the batch.
        index: which process this is.
        count: how many processes there are.
    """
    if count == 1:
        return outputs, labels
    labels_of = [labels[rank::count] for rank in range(count)]
    longest = len(labels_of[0])

    def gathered(own: Tensor) -> Tensor:
        padded = pad(own, (0, 0, 0, longest - len(own)))
        rows: Any = _Everyone.apply(padded, index, count)  # type: ignore[no-untyped-call]
        parts = zip(rows, labels_of, strict=True)
        return torch.cat([part[: len(mine)] for part, mine in parts])

    everyones = (None if own is None else gathered(own) for own in outputs)
    return Outputs(*everyones), torch.cat(labels_of)


class _Everyone(torch.autograd.Function):
    """(b, D) of each process -> (count, b, D) in all of them."""

    @staticmethod
    def forward(context: Any, own: Tensor, index: int, count: int) -> Tensor:
        context.index = index
        everyone = [
            torch.empty_like(own, memory_format=torch.contiguous_format) for _ in range(count)
        ]
        torch.distributed.all_gather(everyone, own.contiguous())
        return torch.stack(everyone)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        summed = gradients[0].clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(summed)
        return summed[context.index], None, None
