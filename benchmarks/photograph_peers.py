"""What others make of the same photographs and features: scikit-learn and PyOD as a user would take
them.

pip install pyod
python -m benchmarks.photograph_peers CLASSES --anomalies NAME=DIR

The same draws as ``benchmarks.photographs``, the features of the same frozen network, scaled to unit
length.  Every peer learns the training pictures without their classes, in its usual settings.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pyod.models.copod import COPOD
from pyod.models.ecod import ECOD
from pyod.models.hbos import HBOS
from pyod.models.iforest import IForest
from pyod.models.knn import KNN
from pyod.models.lof import LOF
from pyod.models.ocsvm import OCSVM
from pyod.models.pca import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.svm import OneClassSVM

from benchmarks.photographs import draw
from knowbound.building.frozen import FrozenNetwork, FrozenParts
from knowbound.data.pictures.folder import read_folder
from knowbound.detectors.choice import make_detector
from knowbound.detectors.detector import Detector
from knowbound.metrics import auroc
from knowbound.workflows.plan import plan_fit
from knowbound.workflows.settings import Settings

Rows = NDArray[np.float64]
Peer = Callable[[Rows], Callable[[Rows], Rows]]


def neighbours(learned: Rows) -> Callable[[Rows], Rows]:
    """Distance to the fifth nearest training picture."""
    near = NearestNeighbors(n_neighbors=5).fit(learned)
    return lambda rows: near.kneighbors(rows)[0][:, -1]


def negated(model: object) -> Peer:
    """A model of scikit-learn whose scores are low for outliers."""

    def learn(learned: Rows) -> Callable[[Rows], Rows]:
        fitted = model.fit(learned)  # type: ignore[attr-defined]
        return lambda rows: -fitted.score_samples(rows)

    return learn


def pyod(make: Callable[[], object]) -> Peer:
    """A detector of PyOD, whose scores are high for outliers."""

    def learn(learned: Rows) -> Callable[[Rows], Rows]:
        fitted = make().fit(learned)  # type: ignore[attr-defined]
        return lambda rows: fitted.decision_function(rows)

    return learn


PEERS: dict[str, Peer] = {
    "LocalOutlierFactor(novelty=True)": negated(LocalOutlierFactor(novelty=True)),
    "NearestNeighbors, fifth distance": neighbours,
    "OneClassSVM()": negated(OneClassSVM()),
    "IsolationForest()": negated(IsolationForest(random_state=0)),
    "PyOD KNN()": pyod(KNN),
    "PyOD LOF()": pyod(LOF),
    "PyOD OCSVM()": pyod(OCSVM),
    "PyOD IForest()": pyod(lambda: IForest(random_state=0)),
    "PyOD PCA()": pyod(PCA),
    "PyOD HBOS()": pyod(HBOS),
    "PyOD ECOD()": pyod(ECOD),
    "PyOD COPOD()": pyod(COPOD),
}


def unit(rows: Rows) -> Rows:
    """Rows of length 1."""
    scaled: Rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def on_units(peer: Peer, learned: Rows) -> Callable[[Rows], Rows]:
    """The scores of a peer that learned rows of length 1."""
    score = peer(unit(learned))
    return lambda rows: score(unit(rows))


def by(detector: Detector) -> Callable[[Rows], Rows]:
    """The scores of a detector of ours."""
    return lambda rows: detector.score(torch.from_numpy(rows)).numpy()


def features(frozen: FrozenNetwork, parts: FrozenParts, folder: Path) -> Rows:
    """Of every picture, as kept."""
    read = read_folder(folder, parts.preprocessing, classes=False)
    keys = [bytes.fromhex(digest) for digest in read.pixel_sha256]
    return frozen.embed(read.source, keys).outputs.get("features").double().numpy()


def main() -> None:
    """Print the table: means of three draws, in percent."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("classes", type=Path)
    parser.add_argument("--anomalies", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="for pytorch_ood_peers.py")
    asked = parser.parse_args()
    sets = {name: Path(at) for name, _, at in (t.partition("=") for t in asked.anomalies)}
    found: dict[str, list[list[float]]] = {}
    kept: dict[str, Any] = {}
    for seed in range(3):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            draw(asked.classes, folder, seed, 40)
            plan = plan_fit(folder / "train", settings=Settings(backbone="efficientnet-lite0"))
            parts = plan.parts
            assert isinstance(parts, FrozenParts)
            learned, known, new = (
                features(parts.frozen, parts, folder / part) for part in ("train", "test", "new")
            )
            others = [new, *(features(parts.frozen, parts, place) for place in sets.values())]
        kept |= {f"learned {seed}": learned, f"labels {seed}": plan.known.source.labels}
        kept |= {f"known {seed}": known}
        kept |= {
            f"{name} {seed}": rows for name, rows in zip(("novelty", *sets), others, strict=True)
        }
        detector = make_detector("relative_centre", ("features",))
        detector.fit(torch.from_numpy(learned), torch.from_numpy(plan.known.source.labels))
        scorers = {name: on_units(peer, learned) for name, peer in PEERS.items()}
        scorers["relative_centre (knows the classes)"] = by(detector)
        for name, score in scorers.items():
            inside = score(known)
            found.setdefault(name, []).append(
                [100 * float(auroc(inside, score(rows))) for rows in others]
            )
    if asked.keep:
        np.savez(asked.keep, **kept)
    print("| | " + " | ".join(["novelty AUROC", *(f"{name} AUROC" for name in sets)]) + " |")
    print("|---" * (len(sets) + 2) + "|")
    for name, rows in found.items():
        print(f"| {name} | " + " | ".join(f"{v:.1f}" for v in np.mean(rows, axis=0)) + " |")


if __name__ == "__main__":
    main()
