"""What pytorch-ood's detectors make of the same photographs' features, as a user would take them.

python -m benchmarks.photograph_peers CLASSES --anomalies NAME=DIR --keep features.npz
python benchmarks/pytorch_ood_peers.py features.npz

The second command imports nothing of this package and needs an environment of its own: pytorch-ood
imports torchvision, which PyPI has for other builds of torch than the tests run with.  Detectors
that read logits get those of scikit-learn's LogisticRegression on the features.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_ood import detector as peers
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

Make = Callable[[nn.Linear], Any]
ON_FEATURES: dict[str, Make] = {
    "Mahalanobis": lambda head: peers.Mahalanobis(None),
    "RMD": lambda head: peers.RMD(None),
    "KNN, k = 50": lambda head: peers.KNN(None),
    "KNN, k = 5": lambda head: peers.KNN(None, k=5),
    "GMM": lambda head: peers.GMM(None),
    "ViM, 64 dimensions": lambda head: peers.ViM(None, 64, head.weight, head.bias),
    "SHE": lambda head: peers.SHE(nn.Identity(), head),
    "NNGuide": lambda head: peers.NNGuide(nn.Identity(), head),
    "fDBD": lambda head: peers.fDBD(nn.Identity(), head),
    "NCI": lambda head: peers.NCI(nn.Identity(), head),
    "DICE, p = 0.7": lambda head: peers.DICE(nn.Identity(), head.weight, head.bias, 0.7),
    "PNML": lambda head: peers.PNML(None, head),
}
ON_LOGITS: dict[str, Callable[[nn.Linear], Callable[[Tensor], Tensor]]] = {
    "MaxSoftmax": lambda head: peers.MaxSoftmax(head).predict,
    "MaxLogit": lambda head: peers.MaxLogit(head).predict,
    "EnergyBased": lambda head: peers.EnergyBased(head).predict,
    "Entropy": lambda head: peers.Entropy(head).predict,
    "GEN": lambda head: peers.GEN(head).predict,
}


def head_of(rows: Tensor, labels: Tensor) -> nn.Linear:
    """A linear class head."""
    fitted = LogisticRegression(max_iter=2000, C=100.0).fit(rows.numpy(), labels.numpy())
    head = nn.Linear(rows.shape[1], len(fitted.classes_))
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(fitted.coef_))
        head.bias.copy_(torch.from_numpy(fitted.intercept_))
    return head.requires_grad_(False)


def unit(rows: np.ndarray) -> Tensor:
    """Rows of length 1, float32."""
    return torch.from_numpy(rows / np.linalg.norm(rows, axis=1, keepdims=True)).float()


def auroc(inside: np.ndarray, outside: np.ndarray) -> float:
    """In percent."""
    truth = np.r_[np.zeros(len(inside)), np.ones(len(outside))]
    return 100 * float(roc_auc_score(truth, np.r_[inside, outside]))


def main() -> None:
    """Print the table: means of three draws, in percent."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("features", type=Path, help="as photograph_peers --keep writes them")
    kept = np.load(parser.parse_args().features)
    names = [name[:-2] for name in kept.files if name.endswith(" 0")]
    sets = [name for name in names if name not in ("learned", "labels", "known")]
    found: dict[str, list[list[float]]] = {}
    for seed in range(3):
        learned, known = unit(kept[f"learned {seed}"]), unit(kept[f"known {seed}"])
        labels = torch.from_numpy(kept[f"labels {seed}"]).long()
        outside = [unit(kept[f"{name} {seed}"]) for name in sets]
        head = head_of(learned, labels)
        scorers = {
            name: make(head).fit_features(learned, labels).predict_features
            for name, make in ON_FEATURES.items()
        }
        scorers |= {name: make(head) for name, make in ON_LOGITS.items()}
        for name, score in scorers.items():
            inside, *others = (score(rows).double().numpy() for rows in (known, *outside))
            found.setdefault(name, []).append([auroc(inside, scores) for scores in others])
    print("| | " + " | ".join(f"{name} AUROC" for name in sets) + " |")
    print("|---" * (len(sets) + 1) + "|")
    for name, rows in found.items():
        print(f"| {name} | " + " | ".join(f"{v:.1f}" for v in np.mean(rows, axis=0)) + " |")


if __name__ == "__main__":
    main()
