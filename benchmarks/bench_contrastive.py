"""The contrastive loss over all pairs against the bare matrix products it needs and against the plain version.

    python benchmarks/bench_contrastive.py [--quick]

Every line is a ratio of two times taken in turn in this run (medians).
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from knowbound.backbones import WideResNet
from knowbound.objectives import Contrastive
from knowbound.objectives.contrastive import contrastive_loss
from knowbound.objectives.pairs import all_pairs


def medians(repeats: int, *functions: Callable[[], object]) -> list[float]:
    """Seconds of each function, the functions taking turns so that a busy moment hits all of them."""
    times: list[list[float]] = [[] for _ in functions]
    for function in functions:
        function()
    for _ in range(repeats):
        for function, taken in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def line(name: str, first: float, second: float, target: str) -> None:
    """One line of the table."""
    print(f"| {name} | {first / second:.2f} | {target} | {1e3 * first:.1f} ms / {1e3 * second:.1f} ms |", flush=True)


def batch(size: int, dim: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings and labels of 50 classes, a quarter of them out images."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 50, (size,), generator=generator)
    labels[: size // 4] = -1
    return 3 * torch.randn(size, dim, generator=generator), labels


def ours(embeddings: torch.Tensor, labels: torch.Tensor) -> None:
    """Forward and backward of the package's loss."""
    embeddings = embeddings.clone().requires_grad_()
    Contrastive()(embeddings, labels).backward()


def plain(embeddings: torch.Tensor, labels: torch.Tensor) -> None:
    """Forward and backward over an explicit list of pairs."""
    embeddings = embeddings.clone().requires_grad_()
    first, second, same = all_pairs(labels)
    contrastive_loss(embeddings[first], embeddings[second], same, 10.0).backward()


def products(embeddings: torch.Tensor) -> None:
    """The distances' B x B x D product and the two of the gradient, and nothing else."""
    distances = embeddings @ embeddings.T
    _ = distances @ embeddings
    _ = distances.T @ embeddings


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    repeats = 5 if parser.parse_args().quick else 15
    print("| what / compared to | ratio | target | times |\n|---|---|---|---|")
    large, small = batch(4096), batch(128)
    line("all pairs, 4096 x 32, forward + backward / its three bare float32 matrix products",
         *medians(repeats, lambda: ours(*large), lambda: products(large[0])), "at most 3")  # fmt: skip
    line(
        "plain version over index pairs / all pairs, 4096 x 32",
        *reversed(medians(3, lambda: ours(*large), lambda: plain(*large))),
        "-",
    )
    line("all pairs / plain version, 128 x 32", *medians(10 * repeats, lambda: ours(*small), lambda: plain(*small)), "at most 1")
    network = WideResNet(32).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.rand(128, 3, 32, 32).to(memory_format=torch.channels_last)
    line("all pairs, 128 x 32 / WRN-16-2 forward + backward of the same batch",
         *medians(repeats, lambda: ours(*small), lambda: network(images).sum().backward()), "at most 0.03")  # fmt: skip


if __name__ == "__main__":
    main()
