"""Distance to the k-th nearest training vector (Sun et al., ICML 2022): no assumption on the shape
of the classes."""

from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch.nn.functional import normalize

from knowbound.detectors.detector import Detector
from knowbound.detectors.learning import count_classes
from knowbound.errors import UserError
from knowbound.outputs import Field

Search = Literal["exact", "faiss"]
QUERIES, BANK = 256, 65_536
"""Vectors compared at once: 64 MiB of distances, however many there are."""
SPARE = 16
"""Extra candidates whose distances are computed again exactly: rounding in the matrix product can
exchange neighbours at nearly equal distance."""
FLAT = 100_000
"""Training vectors above which FAISS searches a part of them: ``PROBED`` of 4 sqrt(M) cells."""
PROBED = 32
MOST = 50
"""The largest k that is taken unless one is given."""


def usual_k(labels: Tensor) -> int:
    """Half of the images of the smallest class, rounded up, at most ``MOST``.

    Args:
        labels: (M,) in 0..C-1.
    """
    return min(MOST, -(-int(count_classes(labels).min()) // 2))


class KNearest(Detector):
    """Scores an image by the Euclidean distance to the k-th nearest training vector, or the
    farthest where there are fewer.

    An image's class is that of most of the k neighbours, of the nearest among equally many.  One
    unit for all features does not matter.  The unit of single features does, as in any Euclidean
    distance.

    Args:
        k: which neighbour.  None: half of the images of the smallest class, rounded up, and at
            most 50, their choice for CIFAR-10.  With more neighbours than a class has images, the
            distance reaches into other classes and no longer tells what is known.
        normalise: vectors to unit length first, as they do.
        reads: which of the network's outputs; theirs is the features.
        search: ``exact`` (blocked matrix products, bounded memory), or ``faiss`` (extra
            ``faiss``), exact up to 100,000 training vectors and approximate beyond.

    Raises:
        ValueError: k below 1, or another search.
    """

    choices = ("embedding", "features", "logits")
    bank: Tensor
    labels: Tensor
    ranks: Tensor
    """(k,) 0..k-1: the k that is used, as a length, so that it is saved."""

    def __init__(
        self,
        k: int | None = None,
        normalise: bool = True,
        reads: Field = "embedding",
        search: Search = "exact",
    ) -> None:
        settings = {"k": k, "normalise": normalise, "search": search}
        super().__init__(settings, reads)
        if k is not None and k < 1:
            raise ValueError(f"the distance to neighbour {k} was asked for; expected 1 or more")
        if search not in ("exact", "faiss"):
            raise ValueError(f"the search {search!r} was given; expected 'exact' or 'faiss'")
        self.register_buffer("ranks", torch.arange(k or 0))
        self.register_buffer("bank", torch.empty(0, 0))
        self.register_buffer("labels", torch.empty(0, dtype=torch.int64))
        self._indexed: tuple[Tensor, Any] | None = None

    @property
    def k(self) -> int:
        """Which neighbour's distance is the score; 0 before ``fit`` where it follows the images."""
        return len(self.ranks)

    def fit(self, embeddings: Tensor, labels: Tensor) -> Self:
        """Keep the training vectors (M, D), their labels (M,) and k.

        Raises:
            ValueError: there are none.
        """
        if not len(embeddings):
            raise ValueError("no training vector was given; expected at least one to be near to")
        k = self.settings["k"] or usual_k(labels)
        self.ranks = torch.arange(k, device=embeddings.device)
        self.bank, self.labels = self._scaled(embeddings).clone(), labels.to(torch.int64)
        return self

    def score(self, embeddings: Tensor) -> Tensor:
        """Distance to the k-th nearest training vector.

        Args:
            embeddings: (N, D).

        Returns:
            (N,) scores, higher = more out-of-distribution.
        """
        return self.neighbours(embeddings)[0][:, -1]

    def classify(self, embeddings: Tensor) -> Tensor:
        """The class of most of the k neighbours.

        Args:
            embeddings: (N, D).

        Returns:
            (N,) int64, in 0..C-1.
        """
        classes = self.labels[self.neighbours(embeddings)[1]]
        rank = self.ranks[: classes.shape[1]].expand_as(classes)
        shape = (len(classes), int(self.labels.max()) + 1)
        votes = torch.zeros(shape, dtype=torch.int64, device=classes.device).scatter_add_(
            1, classes, torch.ones_like(classes)
        )
        first = torch.full_like(votes, classes.shape[1]).scatter_reduce_(1, classes, rank, "amin")
        # the nearest neighbour decides among equally many
        return (votes * (classes.shape[1] + 1) - first).argmax(dim=1)

    def neighbours(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest training vectors.

        Args:
            embeddings: (N, D).

        Returns:
            Distances (N, k) in rising order, and indices (N, k) of the training vectors.
        """
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
        if not self.settings["normalise"]:
            return vectors.float()
        tiny = torch.finfo(torch.float64).tiny  # only a vector of zeros has no direction
        return normalize(vectors.double(), dim=1, eps=tiny).float()

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
