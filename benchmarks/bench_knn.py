"""The distance to the 50th of a million training vectors: blocks and FAISS against brute force that
holds all distances.

python -m benchmarks.bench_knn [--quick]

The vectors lie in 200 clusters, as embeddings do.  FAISS looks into a part of its cells; how many
of the true neighbours it finds stands beside its time.
"""

import time

import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.timing import heading, line, medians, quick, seconds
from knowbound.detectors import KNearest

DIM, CLUSTERS, K = 32, 200, 50


def vectors(count: int, seed: int) -> Tensor:
    """(count, DIM) around the same cluster centres for every seed."""
    centres = 3 * torch.randn(CLUSTERS, DIM, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    return centres[torch.randint(CLUSTERS, (count,), generator=generator)] + torch.randn(
        count, DIM, generator=generator
    )


def brute_force(bank: Tensor, queries: Tensor) -> Tensor:
    """(N,) distances: every query against the whole bank at once, a query's million distances
    sorted out by topk."""
    return torch.cat(
        [
            torch.cdist(part, bank).topk(K, dim=1, largest=False).values[:, -1]
            for part in queries.split(64)
        ]
    )


def main(quickly: bool = False) -> None:
    """Print the table."""
    heading()
    bank, queries = (
        vectors(100_001 if quickly else 1_000_000, 1),
        vectors(128 if quickly else 512, 2),
    )
    labels = torch.zeros(len(bank), dtype=torch.int64)
    exact = KNearest(K, search="exact").fit(bank, labels)
    scaled, scaled_queries = normalize(bank, dim=1), normalize(queries, dim=1)
    plain, blocks = medians(
        1 if quickly else 3,
        lambda: brute_force(scaled, scaled_queries),
        lambda: exact.score(queries),
    )
    apart = (exact.score(queries) - brute_force(scaled, scaled_queries)).abs().max().item()
    name = f"brute force / {{}}, {len(queries):,} queries against {len(bank):,} vectors of {DIM}"
    line(
        name.format("blocks"),
        plain / blocks,
        "above 1",
        f"{seconds(plain, blocks)}; scores within {apart:.0e}",
    )
    try:
        import faiss  # noqa: F401
    except ImportError:
        print("| FAISS is not installed; pip install 'knowbound[faiss]' | | | |", flush=True)
        return
    cells = KNearest(K, search="faiss").fit(bank, labels)
    began = time.perf_counter()
    cells.score(queries[:1])  # builds the index
    built = time.perf_counter() - began
    plain, searched = medians(
        1 if quickly else 3,
        lambda: brute_force(scaled, scaled_queries),
        lambda: cells.score(queries),
    )
    found, true = cells.neighbours(queries)[1], exact.neighbours(queries)[1]
    recall = (
        sum(len(set(a) & set(b)) for a, b in zip(found.tolist(), true.tolist(), strict=True))
        / true.numel()
    )
    detail = f"{seconds(plain, searched)}; {recall:.1%} of the true neighbours; index built once in {built:.0f} s"
    line(name.format("FAISS"), plain / searched, "above 1", detail)


if __name__ == "__main__":
    main(quick(__doc__))
