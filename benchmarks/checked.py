"""The tables of ``docs/checked.md``: this package beside independent programs on the same inputs.

    python -m benchmarks.checked > tables.md

Needs the extra ``bench`` and, for all lines, torchmetrics, pytorch-ood, oodeel and ood-metrics; a
program that is not installed is named and left out.  ``pip install --no-deps`` keeps them from
bringing another torch.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import (
    auc,
    average_precision_score,
    log_loss,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)
from sklearn.neighbors import NearestCentroid, NearestNeighbors
from sklearn.neural_network import MLPClassifier
from torch import Tensor, nn

from benchmarks import peers
from benchmarks.peers import Features, Peer, Scores, called
from knowbound.detectors import (
    Detector,
    Energy,
    KNearest,
    Mahalanobis,
    MaxSoftmax,
    NearestCentre,
    Odin,
    OpenMax,
    RelativeMahalanobis,
    Vim,
)
from knowbound.errors import UserError
from knowbound.metrics import auroc, measure
from knowbound.objectives import (
    Angular,
    Contrastive,
    CrossEntropy,
    EnergyMargin,
    Histogram,
    LiftedStructure,
    NPair,
    OutlierExposure,
    Ranking,
    SemihardTriplet,
)
from knowbound.objectives.distances import unit_length
from knowbound.outputs import Outputs

KNOWN = 7
"""Digits 0 to 6 of scikit-learn's are known, 7 to 9 are not."""
Row = tuple[str, str, str, str, str]


class Digits:
    """A small network trained on the known digits, what it says of the others, and its images."""

    def __init__(self) -> None:
        images, labels = load_digits(return_X_y=True)
        images = (images / 16).astype(np.float32)
        known = np.flatnonzero(labels < KNOWN)
        train, test = known[::2], known[1::2]
        fitted = MLPClassifier((64,), alpha=1e-2, max_iter=300, random_state=0)
        fitted.fit(images[train], labels[train])
        first, last = nn.Linear(64, 64), nn.Linear(64, KNOWN)
        for layer, weight, bias in zip(
            (first, last), fitted.coefs_, fitted.intercepts_, strict=True
        ):
            layer.weight.data = torch.from_numpy(weight.T.copy()).float()
            layer.bias.data = torch.from_numpy(bias.copy()).float()
        self.network = nn.Sequential(nn.Flatten(), first, nn.ReLU(), last).eval()
        images = images.reshape(-1, 1, 8, 8)
        self.images = torch.from_numpy(images[np.r_[test, np.flatnonzero(labels >= KNOWN)]])
        self.inside = len(test)
        with torch.no_grad():
            features, queries = (
                self.network[:3](part) for part in (torch.from_numpy(images[train]), self.images)
            )
        self.features = Features(features, torch.from_numpy(labels[train]), queries, last)

    def auroc(self, scores: Scores) -> float:
        """In percent, unknown digits as the higher side; NaN where a score is not a number."""
        if np.isnan(scores).any():
            return math.nan
        return 100 * auroc(scores[: self.inside], scores[self.inside :])


def on_features(detector: Detector, given: Features, *, checked: bool = False) -> Scores:
    """This package's scores of features; checked: with what ``fit`` of a model asks of them."""
    read = {"features": lambda x: x, "embedding": lambda x: x, "logits": given.logits}
    train, queries = (
        torch.cat([read[field](part) for field in detector.reads], dim=1)
        for part in (given.train, given.queries)
    )
    (detector.learn if checked else detector.fit)(train, given.labels)
    return peers.numpy(detector.score(queries))


def centroid(given: Features) -> Scores:
    """scikit-learn's class centroids, and the distance to the nearest."""
    found = NearestCentroid().fit(given.train.numpy(), given.labels.numpy()).centroids_
    return np.asarray(
        NearestNeighbors(n_neighbors=1).fit(found).kneighbors(given.queries.numpy())[0][:, 0]
    )


SHIFT = (
    "they shift the smallest distance of a tail to 10,000, this variant to 1; with their shift ours "
    "agrees to 5e-4"
)
LIBMR = "this variant's distance is the Euclidean one / 200 plus the cosine one, theirs Euclidean"
RARE = (
    "one of the 64 features has a standard deviation of 0.0005; what they invert in float32 drops or "
    "damps it; without it scores agree, see the next line"
)
DETECTORS: tuple[tuple[str, Detector, str, Peer, str], ...] = (
    ("Nearest centre", NearestCentre("features"), "scikit-learn", centroid, ""),
    ("Max softmax", MaxSoftmax(), "pytorch-ood", peers.ood_softmax, ""),
    ("Energy", Energy(), "pytorch-ood", peers.ood_energy, ""),
    ("k nearest", KNearest(10, reads="features"), "pytorch-ood", peers.ood_nearest, ""),
    ("k nearest", KNearest(10, reads="features"), "oodeel", peers.oodeel_nearest, ""),
    ("Mahalanobis", Mahalanobis("features"), "pytorch-ood", peers.ood_mahalanobis, RARE),
    ("Mahalanobis", Mahalanobis("features"), "oodeel", peers.oodeel_mahalanobis, RARE),
    (
        "Relative Mahalanobis",
        RelativeMahalanobis("features"),
        "pytorch-ood",
        peers.ood_relative,
        RARE,
    ),
    (
        "Relative Mahalanobis",
        RelativeMahalanobis("features"),
        "oodeel",
        peers.oodeel_relative,
        RARE,
    ),
    ("ViM", Vim(16), "pytorch-ood", peers.ood_vim, ""),
    (
        "ViM",
        Vim(16),
        "oodeel",
        peers.oodeel_vim,
        "theirs is about the mean of the features unless it reads the last layer's weights; "
        "the paper's and ours about -pinv(W) b",
    ),
    ("OpenMax", OpenMax(), "pytorch-ood", peers.ood_openmax, SHIFT),
    ("OpenMax, variant libmr", OpenMax(variant="libmr"), "pytorch-ood", peers.ood_openmax, LIBMR),
)


def varied(given: Features, least: float = 1e-3) -> Features:
    """Only the features whose standard deviation is above ``least``."""
    live = given.train.std(dim=0) > least
    head = nn.Linear(int(live.sum()), given.head.out_features)
    head.weight.data, head.bias.data = given.head.weight.data[:, live], given.head.bias.data
    return Features(given.train[:, live], given.labels, given.queries[:, live], head)


def detector_rows(digits: Digits) -> Iterator[Row]:
    """AUROC in percent of each detector, and the largest difference of a score."""
    for name, detector, program, peer, why in DETECTORS:
        given = digits.features
        ours = on_features(detector, given)
        yield _beside(digits, name, program, ours, partial(peer, given), why)
        if why is RARE:
            given = varied(digits.features)
            ours = on_features(detector, given)
            label = f"{name}, {given.train.shape[1]} features"
            yield _beside(digits, label, program, ours, partial(peer, given), "")
    images, network = digits.images, digits.network

    def outputs(given: Tensor) -> Outputs:
        return Outputs(None, given, logits=network(given))

    detector = Odin()
    with torch.no_grad():
        logits = network(detector.prepare(outputs, images))
    yield _beside(
        digits,
        "ODIN",
        "pytorch-ood",
        peers.numpy(detector.score(logits)),
        lambda: peers.ood_odin(network, images),
        "float32 probabilities there, float64 logarithms here",
    )


def _beside(
    digits: Digits, name: str, program: str, ours: Scores, peer: Callable[[], Scores], why: str
) -> Row:
    try:
        theirs = peer()
        label = called(program)
    except (ImportError, PackageNotFoundError):
        return name, f"{program} (not installed)", f"{digits.auroc(ours):.2f}", "", ""
    with np.errstate(invalid="ignore"):
        apart = float(np.abs(ours - theirs).max() / ours.std())
    said = f"{apart:.0e}" + (f"; {why}" if why and apart > 1e-3 else "")
    return name, label, f"{digits.auroc(ours):.2f}", f"{digits.auroc(theirs):.2f}", said


def metric_rows() -> Iterator[Row]:
    """Every number of every convention that another program computes, on scores with ties."""
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(0, 1, 700).round(1), rng.normal(1.2, 1.5, 400).round(1)
    is_in, scores = np.r_[np.ones(700), np.zeros(400)], np.r_[inside, outside]
    exact, seed, openood = (
        measure(inside, outside, convention=c) for c in ("exact", "seed", "openood")
    )
    fpr, tpr, _ = roc_curve(is_in, -scores, drop_intermediate=False)
    thinned_fpr, thinned_tpr, _ = roc_curve(is_in, -scores, pos_label=1)
    near = np.abs(thinned_tpr - 0.95).argmin()
    out_fpr, out_tpr, _ = roc_curve(1 - is_in, scores)
    checks = [
        ("AUROC, exact", exact.auroc, roc_auc_score(is_in, -scores)),
        ("AUPR-in, exact", exact.aupr_in, average_precision_score(is_in, -scores)),
        ("AUPR-out, exact", exact.aupr_out, average_precision_score(1 - is_in, scores)),
        ("FPR95, exact", exact.fpr95, fpr[np.argmax(tpr >= 0.95)]),
        ("FPR95, seed", seed.fpr95, thinned_fpr[near]),
        (
            "detection error, seed",
            seed.detection_error,
            0.5 * (1 - thinned_tpr[near]) + 0.5 * thinned_fpr[near],
        ),
        ("AUPR-in, seed", seed.aupr_in, _trapezoids(is_in, -scores)),
        ("AUPR-out, seed", seed.aupr_out, _trapezoids(1 - is_in, scores)),
        ("FPR95, openood", openood.fpr95, out_fpr[np.argmax(out_tpr >= 0.95)]),
    ]
    for name, ours, theirs in checks:
        yield _numbers(name, "scikit-learn", ours, lambda theirs=theirs: float(theirs))
    torch_scores, labels = torch.from_numpy(scores), torch.from_numpy(is_in - 1).long()

    def functional(name: str, **settings: str) -> float:
        return float(
            getattr(peers.pytorch_ood("metrics.functional"), name)(torch_scores, labels, **settings)
        )

    yield _numbers("AUROC, exact", "pytorch-ood", exact.auroc, lambda: functional("auroc"))
    yield _numbers(
        "AUPR-in, openood",
        "pytorch-ood",
        openood.aupr_in,
        lambda: functional("aupr", positive="id"),
    )
    yield _numbers("AUPR-out, openood", "pytorch-ood", openood.aupr_out, lambda: functional("aupr"))
    yield _numbers(
        "FPR95, openood",
        "pytorch-ood",
        openood.fpr95,
        lambda: functional("fpr_at_tpr"),
        "they keep every threshold; OpenOOD, as scikit-learn by default, drops some",
    )
    yield _numbers(
        "AUROC, exact", "torchmetrics", exact.auroc, lambda: _torchmetrics(scores, is_in)
    )
    yield _numbers(
        "AUROC, exact",
        "oodeel",
        exact.auroc,
        lambda: _oodeel(inside, outside, "auroc"),
        "they take every fourth score as a threshold",
    )
    yield _numbers(
        "FPR95, openood",
        "oodeel",
        openood.fpr95,
        lambda: _oodeel(inside, outside, "fpr95tpr"),
        "they take the first of every fourth threshold whose TPR is below 95%",
    )
    yield _numbers(
        "FPR95, exact",
        "ood-metrics",
        exact.fpr95,
        lambda: _ood_metrics(scores, is_in),
        "they interpolate between thresholds, at a TPR that none has",
    )


def _trapezoids(truth: Scores, scores: Scores) -> float:
    precision, recall, _ = precision_recall_curve(truth, scores)
    return float(auc(recall, precision))


def _torchmetrics(scores: Scores, is_in: Scores) -> float:
    from torchmetrics.functional.classification import binary_auroc

    # theirs takes scores outside 0..1 for logits and rounds their sigmoid to float32
    inside = 1 - (scores - scores.min()) / (scores.max() - scores.min())
    return float(binary_auroc(torch.from_numpy(inside), torch.from_numpy(is_in).long()))


def _oodeel(inside: Scores, outside: Scores, name: str) -> float:
    from oodeel.eval.metrics import bench_metrics

    return float(bench_metrics((inside, outside), metrics=[name])[name])


def _ood_metrics(scores: Scores, is_in: Scores) -> float:
    from ood_metrics import fpr_at_95_tpr

    return float(fpr_at_95_tpr(-scores, is_in))


def _numbers(name: str, program: str, ours: float, peer: Callable[[], float], why: str = "") -> Row:
    try:
        theirs = peer()
        label = called(program)
    except (ImportError, PackageNotFoundError):
        return name, f"{program} (not installed)", f"{ours:.6f}", "", ""
    apart = abs(ours - theirs)
    said = f"{apart:.0e}" + (f"; {why}" if why and apart > 1e-6 else "")
    return name, label, f"{ours:.6f}", f"{theirs:.6f}", said


def loss_rows() -> Iterator[Row]:
    """Losses of one batch without out-of-distribution images, which most other programs refuse,
    and of one with them."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 8
    embeddings = torch.randn(40, 16, generator=rng, dtype=torch.float64)
    for name, value, peer in metric_losses(embeddings, labels):
        yield _numbers(name, "pytorch-metric-learning", value, peer)
    logits = 3 * torch.randn(40, 8, generator=rng, dtype=torch.float64)
    yield _numbers(
        "Cross-entropy",
        "scikit-learn",
        float(CrossEntropy()(logits, labels)),
        lambda: float(log_loss(labels, logits.softmax(1), labels=range(8))),
    )
    mixed = torch.where(torch.arange(40) < 24, labels, -1)
    weight = 16 / 24  # theirs is a mean over all images, ours a mean of each kind
    exposure = OutlierExposure(weight=0.5 * weight)(logits, mixed)
    yield _numbers(
        "Outlier exposure",
        "pytorch-ood",
        float(exposure) * 24 / 40,
        lambda: float(peers.pytorch_ood("loss.oe").OutlierExposureLoss()(logits.float(), mixed)),
    )
    yield _numbers(
        "Energy margin",
        "pytorch-ood",
        float(EnergyMargin(in_margin=-25, out_margin=-7)(logits, mixed)),
        lambda: float(
            peers.pytorch_ood("loss.energy").EnergyRegularizedLoss()(logits.float(), mixed)
        ),
    )


def metric_losses(
    embeddings: Tensor, labels: Tensor
) -> Iterator[tuple[str, float, Callable[[], float]]]:
    """(name, our value, theirs) of each loss that pytorch-metric-learning has too."""
    try:
        from pytorch_metric_learning import distances, losses, miners, reducers
    except ImportError:
        return
    from benchmarks.bench_contrastive import MetricLearning

    power, plain = distances.LpDistance(power=2), distances.LpDistance(normalize_embeddings=False)
    product, mean = distances.DotProductSimilarity(normalize_embeddings=False), reducers.MeanReducer
    semihard = miners.TripletMarginMiner(0.2, type_of_triplets="semihard", distance=power)
    triplet = partial(losses.TripletMarginLoss, distance=power)
    unit = unit_length(embeddings)
    pairs: list[tuple[str, Tensor, Callable[[], Tensor]]] = [
        (
            "Contrastive (Eq. 1)",
            Contrastive()(embeddings, labels),
            lambda: MetricLearning()(embeddings, labels)[0],
        ),
        (
            "Ranking",
            Ranking()(embeddings, labels),
            lambda: triplet(1.0, reducer=mean())(embeddings, labels),
        ),
        (
            "Semi-hard triplet",
            SemihardTriplet()(embeddings, labels),
            lambda: triplet(0.2, reducer=mean())(embeddings, labels, semihard(embeddings, labels)),
        ),
        (
            "Lifted structure",
            LiftedStructure()(embeddings, labels),
            lambda: losses.LiftedStructureLoss(1.0, distance=plain)(embeddings, labels),
        ),
        (
            "Angular",
            Angular()(embeddings, labels),
            lambda: losses.AngularLoss(45)(unit, labels),
        ),
        (
            "Histogram",
            Histogram()(embeddings, labels),
            lambda: losses.HistogramLoss(100)(embeddings, labels),
        ),
        (
            "N-pair, without its norm term",
            NPair(norm_weight=1e-300)(embeddings, labels),
            lambda: losses.NTXentLoss(temperature=1.0, distance=product)(embeddings, labels),
        ),
    ]
    for name, ours, theirs in pairs:
        yield name, float(ours), lambda theirs=theirs: float(theirs())


Case = Callable[[Features], Features]


def half(given: Features) -> Features:
    """Features in float16, as a network in half precision gives them."""
    head = nn.Linear(given.head.in_features, given.head.out_features)
    head.load_state_dict(given.head.state_dict())
    return Features(given.train.half(), given.labels, given.queries.half(), head)


def few(given: Features) -> Features:
    """Five images of each class: 35 images with 64 features."""
    chosen = torch.cat([(given.labels == c).nonzero()[:5, 0] for c in range(KNOWN)])
    return replace(given, train=given.train[chosen], labels=given.labels[chosen])


def constant(given: Features) -> Features:
    """Another feature that is 100 in every training image, and 101 in every other image."""
    head = nn.Linear(given.head.in_features + 1, given.head.out_features)
    weight = given.head.weight.data
    head.weight.data = torch.cat([weight, torch.zeros(len(weight), 1)], dim=1)
    head.bias.data = given.head.bias.data
    train = torch.cat([given.train, torch.full((len(given.train), 1), 100.0)], dim=1)
    queries = torch.cat([given.queries, torch.full((len(given.queries), 1), 101.0)], dim=1)
    return Features(train, given.labels, queries, head)


def not_a_number(given: Features) -> Features:
    """One NaN among the features of one training image."""
    train = given.train.clone()
    train[3, 5] = math.nan
    return replace(given, train=train)


def confident(given: Features) -> Features:
    """Logits 50 times as large: most probabilities are 1 in float32."""
    head = nn.Linear(given.head.in_features, given.head.out_features)
    head.weight.data, head.bias.data = 50 * given.head.weight.data, 50 * given.head.bias.data
    return replace(given, head=head)


CASES: tuple[tuple[str, Case], ...] = (
    ("as they are", lambda given: given),
    ("float16", half),
    ("35 images, 64 features", few),
    ("a constant feature", constant),
    ("a NaN in training", not_a_number),
    ("tied softmax", confident),
)


def failure_rows(digits: Digits) -> Iterator[tuple[str, ...]]:
    """AUROC of every detector and program in every case, or what it says instead."""
    done = set()
    for name, detector, program, peer, _ in DETECTORS:
        runs: list[tuple[str, Peer]] = [(program, peer)]
        if name not in done:
            runs.insert(0, ("knowbound", partial(on_features, detector, checked=True)))
        done.add(name)
        for label, run in runs:
            yield name, label, *(_outcome(digits, run, case) for _, case in CASES)


def _outcome(digits: Digits, run: Peer, case: Case) -> str:
    try:
        scores = run(case(digits.features))
    except UserError:
        return "a sentence"
    except (ImportError, PackageNotFoundError):
        return "not installed"
    except Exception as error:
        return f"{type(error).__name__}"
    strange = int((~np.isfinite(scores)).sum())
    if strange:
        return f"{strange} of {len(scores)} scores not finite"
    tied = 1 - len(np.unique(scores)) / len(scores)
    return f"{digits.auroc(scores):.2f}" + (f", {tied:.0%} tied" if tied > 0.2 else "")


def table(title: str, head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> None:
    """Print a Markdown table."""
    print(f"\n## {title}\n\n| " + " | ".join(head) + " |")
    print("|" + " --- |" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


def main() -> None:
    """Print the tables."""
    warnings.simplefilter("ignore")
    digits = Digits()
    head = ("what", "program", "ours", "theirs", "largest difference of a score, in deviations")
    table("Detectors: AUROC in percent", head, detector_rows(digits))
    head = ("what", "program", "ours", "theirs", "difference")
    table("Metrics", head, metric_rows())
    table("Losses", head, loss_rows())
    table(
        "Difficult input",
        ("detector", "program", *(name for name, _ in CASES)),
        failure_rows(digits),
    )


if __name__ == "__main__":
    main()
