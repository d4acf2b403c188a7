"""The loss, the detector and the metrics in a PyTorch loop of your own: no Boundary, no command
line.

Run with:  python examples/own_training_loop.py
"""

import numpy as np
import torch

from knowbound.backbones import LeNet
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.sets.digits import read_digits
from knowbound.data.source import to_unit_interval
from knowbound.detectors import NearestCentre
from knowbound.metrics import measure
from knowbound.objectives import Contrastive

KNOWN, SEEN_OUT, NEVER_SEEN = ("2", "6", "7"), ("0", "3", "4", "8"), ("5", "9", "1")


def main(steps: int = 200) -> float:
    """Train on 2, 6, 7 with 0, 3, 4, 8 as unlabelled outs; the AUROC against 5, 9, 1."""
    torch.manual_seed(0)
    digits = Preprocessing(height=16, width=16, channels=1).apply(read_digits())
    known, outs, new = (digits.take_classes(names) for names in (KNOWN, SEEN_OUT, NEVER_SEEN))
    images = torch.from_numpy(
        to_unit_interval(np.concatenate([known.images(slice(None)), outs.images(slice(None))]))
    )
    labels = torch.cat(
        [torch.from_numpy(known.labels), torch.full((len(outs),), -1)]
    )  # below 0 = out
    train, test = torch.arange(len(images)) % 3 > 0, torch.arange(len(images)) % 3 == 0

    backbone, loss = LeNet(embedding=5, height=16, width=16), Contrastive(margin=10.0)
    optimizer = torch.optim.Adam(backbone.parameters(), 1e-3)
    for _ in range(steps):
        batch = torch.randperm(int(train.sum()))[:128]
        optimizer.zero_grad()
        loss(backbone(images[train][batch]).embedding, labels[train][batch]).backward()
        optimizer.step()

    backbone.eval()
    with torch.no_grad():
        inside = train & (labels >= 0)
        detector = NearestCentre().fit(backbone(images[inside]).embedding, labels[inside])
        in_scores = detector.score(backbone(images[test & (labels >= 0)]).embedding)
        unseen = torch.from_numpy(to_unit_interval(new.images(slice(None))))
        out_scores = detector.score(backbone(unseen).embedding)
    return measure(in_scores.numpy(), out_scores.numpy()).auroc


if __name__ == "__main__":
    print(f"AUROC of digits 5, 9, 1 against 2, 6, 7: {100 * main():.2f}")
