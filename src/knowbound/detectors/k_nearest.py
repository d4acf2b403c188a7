"""Distance to the k-th nearest training vector (Sun et al., ICML 2022): no assumption on the shape
of the classes."""

from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch.nn.functional import normalize

from knowbound.detectors.detector import Detector
from knowbound.errors import UserError
from knowbound.outputs import Field

Search = Literal["exact", "faiss"]
QUERIES, BANK = 256, 65_536
"""Vectors compared at once: 64 MiB of distances, however many there are."""
SPARE = 16
"""Candidates beyond k whose distances are computed anew: products round, and may exchange
neighbours at nearly equal distance."""
FLAT = 100_000
"""Training vectors above which FAISS searches a part of them: ``PROBED`` of 4 sqrt(M) cells."""
PROBED = 32


class KNearest(Detector):
    """Scores an image by the Euclidean distance to the k-th nearest training vector, or the
    farthest where there are fewer.

    k: 50 for CIFAR-10 in their paper; normalise: vectors to unit length first, as they do; reads:
    which of the network's outputs, theirs is the features; search: ``exact`` (blocked matrix
    products, bounded memory), or ``faiss`` (extra ``faiss``), exact up to 100,000 training vectors
    and approximate beyond. An image's class is that of most of the k neighbours, of the nearest
    among equally many.
    """

    choices = ("embedding", "features")
    bank: Tensor
    labels: Tensor

    def __init__(
        self,
        k: int = 50,
        normalise: bool = True,
        reads: Field = "embedding",
        search: Search = "exact",
    ) -> None:
        settings = {"k": k, "normalise": normalise, "search": search}
        super().__init__(settings, reads)
        if k < 1:
            raise ValueError(f"the distance to neighbour {k} was asked for; expected 1 or more")
        if search not in ("exact", "faiss"):
            raise ValueError(f"the search {search!r} was given; expected 'exact' or 'faiss'")
        self.k = k
        self.register_buffer("bank", torch.empty(0, 0))
        self.register_buffer("labels", torch.empty(0, dtype=torch.int64))
        self._indexed: tuple[Tensor, Any] | None = None

    def fit(self, embeddings: Tensor, labels: Tensor) -> Self:
        """Keep the training vectors (M, D) and their labels (M,).  Raises ValueError where there
        are none."""
        if not len(embeddings):
            raise ValueError("no training vector was given; expected at least one to be near to")
        self.bank, self.labels = self._scaled(embeddings).clone(), labels.to(torch.int64)
        return self

    def score(self, embeddings: Tensor) -> Tensor:
        """(N, D) -> (N,) distance to the k-th nearest training vector."""
        return self.neighbours(embeddings)[0][:, -1]

    def classify(self, embeddings: Tensor) -> Tensor:
        """(N, D) -> (N,) class of most of the k neighbours."""
        classes = self.labels[self.neighbours(embeddings)[1]]
        rank = torch.arange(classes.shape[1], device=classes.device).expand_as(classes)
        shape = (len(classes), int(self.labels.max()) + 1)
        votes = torch.zeros(shape, dtype=torch.int64, device=classes.device).scatter_add_(
            1, classes, torch.ones_like(classes)
        )
        first = torch.full_like(votes, classes.shape[1]).scatter_reduce_(1, classes, rank, "amin")
        return (votes * (classes.shape[1] + 1) - first).argmax(
            dim=1
        )  # the nearest neighbour decides among equally many

    def neighbours(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """(N, D) -> distances (N, k) in rising order and indices (N, k) of the nearest training
        vectors."""
        queries = self._scaled(embeddings)
        k = min(self.k, len(self.bank))
        parts = []
        for part in queries.split(QUERIES):
            found = (
                self._faiss(part, k) if self.settings["search"] == "faiss" else self._exact(part, k)
            )
            distances = (
                (part[:, None] - self.bank[found]).square().sum(dim=2).sqrt()
            )  # by differences: small ones decide
            order = distances.argsort(dim=1)[:, :k]
            parts.append((distances.gather(1, order), found.gather(1, order)))
        if not parts:
            return queries.new_empty(0, k), self.labels.new_empty(0, k)
        distances, indices = (torch.cat(column) for column in zip(*parts, strict=True))
        return distances, indices

    def _scaled(self, vectors: Tensor) -> Tensor:
        return normalize(vectors.float(), dim=1) if self.settings["normalise"] else vectors.float()

    def _exact(self, queries: Tensor, k: int) -> Tensor:
        """(n, at least k) candidates by |b|^2 - 2 q b about the bank's mean, block after block, of
        which the best stay."""
        wanted, centre = min(k + SPARE, len(self.bank)), self.bank.mean(dim=0)
        queries = queries - centre  # near the origin the products lose fewer digits
        best, indices = queries.new_empty(len(queries), 0), self.labels.new_empty(len(queries), 0)
        for start in range(0, len(self.bank), BANK):
            block = self.bank[start : start + BANK] - centre
            squared = torch.addmm(block.square().sum(dim=1), queries, block.T, alpha=-2)
            near, where = squared.topk(min(wanted, len(block)), dim=1, largest=False)
            best, indices = (
                torch.cat([best, near], dim=1),
                torch.cat([indices, where + start], dim=1),
            )
            if best.shape[1] > wanted:
                best, kept = best.topk(wanted, dim=1, largest=False)
                indices = indices.gather(1, kept)
        return indices

    def _faiss(self, queries: Tensor, k: int) -> Tensor:
        if (
            self._indexed is None or self._indexed[0] is not self.bank
        ):  # another bank may have been loaded
            self._indexed = self.bank, _build_index(self.bank - self.bank.mean(dim=0))
        wanted = min(k + SPARE, len(self.bank))
        _, indices = self._indexed[1].search(
            (queries - self.bank.mean(dim=0)).cpu().numpy(), wanted
        )
        found = torch.from_numpy(indices).to(self.labels.device)
        short = (found < 0).any(dim=1)  # fewer in the cells it looked into
        if short.any():
            found[short] = self._exact(queries[short], k)
        return found


def _build_index(bank: Tensor) -> Any:
    """A FAISS index over the training vectors (M, D): all of them up to ``FLAT``, in cells
    beyond."""
    try:
        import faiss
    except ImportError as error:
        raise UserError(
            "the search faiss needs FAISS, which is not installed; pip install "
            "'knowbound[faiss]', or take search='exact'"
        ) from error
    vectors = bank.cpu().numpy()
    dim = vectors.shape[1]
    if len(vectors) <= FLAT:
        index: Any = faiss.IndexFlatL2(dim)
    else:
        cells = int(4 * len(vectors) ** 0.5)
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(dim), dim, cells)
        index.nprobe = PROBED
        index.train(vectors[:: max(1, len(vectors) // (64 * cells))])
    index.add(vectors)
    return index
