"""How the AUROC of Table 1's program loses area where softmax probabilities tie at 1.

The same scores four times: only the share of images whose probability is exactly 1, as float32
rounds it, grows.  Among those the detector sees no difference: every pair of a tied in and a tied
out image counts half.  The program's sum stops before their block of the curve, so these pairs
count nothing, and half the product of the two shares is lost.

Run with:  python examples/lost_area.py
"""

import numpy as np
from rich.console import Console
from rich.table import Table

from knowbound.metrics import measure

TIED = ((0.0, 0.0), (0.3, 0.2), (0.6, 0.45), (0.79, 0.61))
"""Shares of in and out images at probability 1; the last is what a network of Table 1's kind
showed."""


def main(images: int = 10_000) -> list[tuple[float, float]]:
    """Print the table; (exact, ccag) AUROC of each line."""
    rng = np.random.default_rng(0)
    inside, outside = (
        rng.beta(6, 1.5, images),
        rng.beta(4, 1.5, images),
    )  # probabilities of the largest class
    table = Table(
        "in at 1",
        "out at 1",
        "AUROC exact",
        "AUROC as in Table 1",
        title="Area lost under tied scores",
    )
    areas = []
    for tied_in, tied_out in TIED:
        scores = [-saturate(p, share) for p, share in ((inside, tied_in), (outside, tied_out))]
        exact, legacy = (
            measure(*scores, convention=convention).auroc for convention in ("exact", "ccag")
        )
        table.add_row(
            f"{tied_in:.0%}", f"{tied_out:.0%}", f"{100 * exact:.1f}", f"{100 * legacy:.1f}"
        )
        areas.append((exact, legacy))
    Console().print(table)
    return areas


def saturate(probabilities: np.ndarray, share: float) -> np.ndarray:
    """The surest ``share`` of the images at probability 1, the others as they are."""
    raised = probabilities.copy()
    if share:
        raised[probabilities >= np.quantile(probabilities, 1 - share)] = 1.0
    return raised


if __name__ == "__main__":
    main()
