"""The contrastive loss over all pairs against the bare products it needs, a plain version and
pytorch-metric-learning.

    python -m benchmarks.bench_contrastive [--quick]

pytorch-metric-learning comes with the extra ``bench``; its loss is set up to the same formula here
(no normalisation, margin 10, squared terms, mean over all pairs), which its own defaults are not.
"""

import subprocess
import sys
import threading
import time

import psutil
import torch
from torch import Tensor

from benchmarks.timing import heading, line, medians, quick, seconds
from knowbound.backbones import WideResNet
from knowbound.objectives import Contrastive
from knowbound.objectives.contrastive import contrastive_loss
from knowbound.objectives.pairs import all_pairs


def batch(size: int, dim: int = 32, outs: bool = True) -> tuple[Tensor, Tensor]:
    """Embeddings and labels of 50 classes, a quarter of them out images where wanted."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 50, (size,), generator=generator)
    if outs:
        labels[: size // 4] = -1
    return 3 * torch.randn(size, dim, generator=generator), labels


def ours(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Value and gradient of the package's loss."""
    embeddings = embeddings.clone().requires_grad_()
    value = Contrastive()(embeddings, labels)
    (gradient,) = torch.autograd.grad(value, embeddings)
    return value.detach(), gradient


def plain(embeddings: Tensor, labels: Tensor) -> None:
    """Forward and backward over an explicit list of pairs."""
    embeddings = embeddings.clone().requires_grad_()
    first, second, same = all_pairs(labels)
    contrastive_loss(embeddings[first], embeddings[second], same, 10.0).backward()


def products(embeddings: Tensor) -> None:
    """The distances' B x B x D product and the two of the gradient, and nothing else."""
    distances = embeddings @ embeddings.T
    _ = distances @ embeddings
    _ = distances.T @ embeddings


class MetricLearning:
    """Eq. 1 over all pairs with the parts of pytorch-metric-learning."""

    def __init__(self) -> None:
        from pytorch_metric_learning.distances import LpDistance
        from pytorch_metric_learning.losses import ContrastiveLoss
        from pytorch_metric_learning.reducers import SumReducer

        class Squared(ContrastiveLoss):  # type: ignore[misc]
            def get_per_pair_loss(self, pair_dists: Tensor, pos_or_neg: str) -> Tensor:
                return 0.5 * super().get_per_pair_loss(pair_dists, pos_or_neg).square()

        self.loss = Squared(
            pos_margin=0,
            neg_margin=10,
            distance=LpDistance(normalize_embeddings=False, p=2, power=1),
            reducer=SumReducer(),
        )

    def __call__(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Value and gradient, of a batch without out images (which it does not know)."""
        embeddings = embeddings.clone().requires_grad_()
        value = self.loss(embeddings, labels) / (len(labels) * (len(labels) - 1))
        (gradient,) = torch.autograd.grad(value, embeddings)
        return value.detach(), gradient


def against_metric_learning(repeats: int) -> None:
    """Time and agreement with pytorch-metric-learning."""
    try:
        theirs = MetricLearning()
    except ImportError:
        print("| pytorch-metric-learning is not installed: pip install 'knowbound[bench]' | | | |")
        return
    embeddings, labels = batch(4096, outs=False)
    value, gradient = ours(embeddings, labels)
    other, other_gradient = theirs(embeddings, labels)
    apart = max(
        float((value - other).abs() / other),
        float((gradient - other_gradient).abs().max() / other_gradient.abs().max()),
    )
    slow, fast = medians(
        repeats, lambda: theirs(embeddings, labels), lambda: ours(embeddings, labels), warm=False
    )
    line(
        "pytorch-metric-learning's ContrastiveLoss / all pairs, 4096 x 32, forward + backward",
        slow / fast,
        "at least 8",
        f"{seconds(slow, fast)}; values and gradients within {apart:.0e}",
    )


def added_memory(size: int) -> int:
    """Most memory that forward and backward of a batch of this size add, in bytes, watched every
    millisecond."""
    embeddings, labels = batch(size)
    process, stop, most = psutil.Process(), threading.Event(), 0
    before = process.memory_info().rss

    def watch() -> None:
        nonlocal most
        while not stop.is_set():
            most = max(most, process.memory_info().rss - before)
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    ours(embeddings, labels)
    stop.set()
    watcher.join()
    return most


def added_memory_alone(size: int) -> int:
    """``added_memory`` in a process of its own, whose memory holds nothing freed that could be used
    again."""
    code = f"from benchmarks.bench_contrastive import added_memory, ours, batch; ours(*batch(64)); print(added_memory({size}))"
    return int(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
    )


def main(quickly: bool = False) -> None:
    """Print the table."""
    repeats = 5 if quickly else 15
    heading()
    large, small = batch(4096), batch(128)
    whole, bare = medians(repeats, lambda: ours(*large), lambda: products(large[0]))
    line(
        "all pairs, 4096 x 32, forward + backward / its three bare float32 matrix products",
        whole / bare,
        "at most 3",
        seconds(whole, bare),
    )
    against_metric_learning(3)
    slow, fast = medians(3, lambda: plain(*large), lambda: ours(*large), warm=False)
    line(
        "plain version over index pairs / all pairs, 4096 x 32",
        slow / fast,
        "",
        seconds(slow, fast),
    )
    ours_small, plain_small = medians(10 * repeats, lambda: ours(*small), lambda: plain(*small))
    line(
        "all pairs / plain version, 128 x 32",
        ours_small / plain_small,
        "at most 1",
        seconds(ours_small, plain_small),
    )
    network = WideResNet(32).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.rand(128, 3, 32, 32).to(memory_format=torch.channels_last)
    loss, step = medians(
        repeats, lambda: ours(*small), lambda: network(images).get("embedding").sum().backward()
    )
    line(
        "all pairs, 128 x 32 / WRN-16-2 forward + backward of the same batch",
        loss / step,
        "at most 0.03",
        seconds(loss, step),
    )
    few, many = (added_memory_alone(size) for size in (4096, 16_384))
    line(
        "memory added at 16,384 / at 4,096 images (a B x B matrix: 16)",
        many / max(few, 1),
        "at most 4",
        f"{many / 2**20:.0f} MiB / {few / 2**20:.0f} MiB; B x B float32 would be 1,024 MiB / 64 MiB",
    )


if __name__ == "__main__":
    main(quick(__doc__))
