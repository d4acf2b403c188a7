"""Independent programs that ``checked`` holds this package against, as plain functions.

Each takes training features and labels and gives the scores of other features, higher = more
out-of-distribution, in this package's unit.  ``ImportError`` where a program is not installed.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Scores = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Features:
    """Training features with labels, the features to score, and the linear layer on top."""

    train: Tensor
    labels: Tensor
    queries: Tensor
    head: nn.Linear

    def logits(self, features: Tensor) -> Tensor:
        """(N, F) -> (N, C), in the precision of the features."""
        weight, bias = self.head.weight.detach(), self.head.bias.detach()
        return features @ weight.T.to(features) + bias.to(features)


Peer = Callable[[Features], Scores]


def called(name: str) -> str:
    """A program with its version."""
    return f"{name} {version(name)}"


def pytorch_ood(module: str) -> Any:
    """A module of pytorch-ood.

    ``import pytorch_ood`` needs torchvision, for networks and data sets that are not needed here.  So
    its packages are entered without running their own ``__init__``.
    """
    if "pytorch_ood" not in sys.modules:
        found = importlib.util.find_spec("pytorch_ood")
        if found is None or not found.submodule_search_locations:
            raise ImportError("pytorch_ood is not installed")
        root = Path(next(iter(found.submodule_search_locations)))
        for package in ("", "detector", "loss"):
            bare = ModuleType(f"pytorch_ood.{package}".rstrip("."))
            bare.__path__ = [str(root / package)]
            sys.modules[bare.__name__] = bare
    return importlib.import_module(f"pytorch_ood.{module}")


def numpy(values: Any) -> Scores:
    """Scores as float64 NumPy."""
    return np.asarray(torch.as_tensor(values).detach().double().cpu())


def ood_energy(given: Features) -> Scores:
    """pytorch-ood's energy."""
    detector = pytorch_ood("detector.energy").EnergyBased(None)
    return numpy(detector.predict_logits(given.logits(given.queries)))


def ood_softmax(given: Features) -> Scores:
    """-log of the probability that pytorch-ood gives."""
    detector = pytorch_ood("detector.softmax").MaxSoftmax(None)
    probability = -numpy(detector.predict_logits(given.logits(given.queries)))
    with np.errstate(divide="ignore"):
        return -np.log(probability)


def ood_mahalanobis(given: Features) -> Scores:
    """pytorch-ood's is half of the squared distance, and its covariance a sum: times 2 N."""
    detector = pytorch_ood("detector.mahalanobis").Mahalanobis(None)
    detector.fit_features(given.train, given.labels)
    return 2 * len(given.train) * numpy(detector.predict_features(given.queries))


def ood_relative(given: Features) -> Scores:
    """pytorch-ood's covariances are sums: times N."""
    detector = pytorch_ood("detector.rmd").RMD(None)
    detector.fit_features(given.train, given.labels)
    return len(given.train) * numpy(detector.predict_features(given.queries))


def ood_nearest(given: Features) -> Scores:
    """pytorch-ood's distance to the k-th neighbour, k = 10."""
    detector = pytorch_ood("detector.knn").KNN(None, k=10)
    detector.fit_features(given.train, given.labels)
    return numpy(detector.predict_features(given.queries))


def ood_vim(given: Features, dim: int = 16) -> Scores:
    """pytorch-ood's ViM."""
    weight, bias = given.head.weight, given.head.bias
    detector = pytorch_ood("detector.vim").ViM(None, dim, weight, bias)
    detector.fit_features(given.train, given.labels)
    return numpy(detector.predict_features(given.queries))


def ood_openmax(given: Features) -> Scores:
    """log p(unknown) - log p(known) of pytorch-ood's OpenMax, tail 20, alpha 10."""
    detector = pytorch_ood("detector.openmax").OpenMax(None, tailsize=20, alpha=10)
    detector.fit_logits(given.logits(given.train), given.labels)
    unknown = numpy(detector.predict_logits(given.logits(given.queries)))
    with np.errstate(divide="ignore"):
        return np.log(unknown) - np.log1p(-unknown)


def ood_odin(network: nn.Module, images: Tensor) -> Scores:
    """-log of the probability that pytorch-ood's ODIN gives, in its usual settings."""
    probability = -numpy(pytorch_ood("detector.odin").ODIN(network).predict(images))
    return -np.log(probability)


def oodeel(name: str, given: Features, **settings: Any) -> Scores:
    """A detector of oodeel on one layer.

    Its reader of data sets needs torchvision, so the two functions that learn from a layer and
    score it are called without it.
    """
    detector = getattr(importlib.import_module("oodeel.methods"), name)(**settings)
    detector.op = importlib.import_module("oodeel.utils.torch_operator").TorchOperator()
    train, queries = given.train.numpy(), given.queries
    logits = {
        "train": given.logits(given.train).numpy(),
        "queries": given.logits(queries).numpy(),
    }
    known = {"labels": given.labels.numpy(), "logits": logits["train"]}
    detector._fit_layer(0, train, known)
    return numpy(detector._score_layer(0, queries, {"logits": logits["queries"]}))


def oodeel_mahalanobis(given: Features) -> Scores:
    """oodeel's is half of the squared distance: times 2."""
    return 2 * oodeel("Mahalanobis", given, eps=0)


def oodeel_relative(given: Features) -> Scores:
    """oodeel's is half of the difference of squared distances: times 2."""
    return 2 * oodeel("RMDS", given, eps=0)


def oodeel_nearest(given: Features) -> Scores:
    """The root of oodeel's squared distance to the k-th neighbour, k = 10."""
    return np.sqrt(oodeel("DKNN", given, nearest=10))


def oodeel_vim(given: Features, dim: int = 16) -> Scores:
    """oodeel's ViM."""
    return oodeel("VIM", given, princ_dims=dim)
