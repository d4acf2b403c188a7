"""Which crops to hold out so that crops of one frame stay together."""

import numpy as np
from numpy.typing import NDArray


def hold_out_frames(
    labels: NDArray[np.int64], frames: NDArray[np.str_], share: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which crops to hold out, about a share of each class, and of a frame all its crops or none.

    Frames are visited in random order, those with a rare class first.  A frame is held out when no
    class in it would pass its quota, which is ``share`` of its crops rounded, at least one if the
    class has two or more: a rare class is neither used up nor, where its frames allow, forgotten.

    Args:
        labels: (N,) a class for each crop.
        frames: (N,) the id of its source frame.
        share: 0..1.
        rng: draws the order.

    Returns:
        (N,) bool.
    """
    if not 0 <= share < 1:
        raise ValueError(f"a share of {share} was asked for; expected at least 0 and less than 1")
    _, classes = np.unique(labels, return_inverse=True)
    totals = np.bincount(classes)
    left = np.maximum(
        np.rint(share * totals).astype(np.int64), np.minimum(1, totals - 1) if share > 0 else 0
    )
    _, frame_of = np.unique(frames, return_inverse=True)
    by_frame, ends = np.argsort(frame_of, kind="stable"), np.cumsum(np.bincount(frame_of))
    members = np.split(by_frame, ends[:-1])[: len(ends)]  # no frame at all: no part
    held_out = np.zeros(len(labels), dtype=bool)
    rarest = [totals[classes[crops]].min() for crops in members]
    for frame in sorted(rng.permutation(len(members)).tolist(), key=lambda frame: rarest[frame]):
        in_frame = np.bincount(classes[members[frame]], minlength=len(totals))
        if (in_frame <= left).all():
            left -= in_frame
            held_out[members[frame]] = True
    return held_out
