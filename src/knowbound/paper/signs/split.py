"""Section 4.2: traffic signs as a ``Split``, for the tables and for choosing settings without the
test data."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knowbound.data.outs.noise import gaussian_noise
from knowbound.data.pictures.folder import Problem
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.signs.background_patches import background_patches
from knowbound.data.signs.class_split import split_classes
from knowbound.data.signs.crops import Crops
from knowbound.data.signs.frame_split import hold_out_frames
from knowbound.data.signs.frames import camvid_frames
from knowbound.data.signs.tsinghua import TsinghuaCrops, drop_shared_frames, read_tsinghua_crops
from knowbound.data.source import Source
from knowbound.data.split import OutSet, Split
from knowbound.labels import Kind
from knowbound.paper.signs.class_splits import ClassSplit

NOVELTY, BACKGROUND, NOISE = "Tsinghua", "Background", "Gaussian noise"
"""The names of the out sets, the same whether seen or unseen."""
VALIDATION_SHARE = 0.1  # of the in training crops, by frame
PSEUDO_TEST_SHARE = 0.2  # of the in training crops, by frame, where settings are chosen
ROAD_PATCHES = 2_000  # from the 100 CamVid frames
ROAD_SIDES = (24, 96)  # of 480 pixels: as wide as 100 to 400 of a Tsinghua frame's 2048
SEEN_NOISE = 2_000  # images


@dataclass(frozen=True, eq=False)
class TsinghuaImages:
    """All images of Section 4.2, read once.  No frame gives crops to both ``train`` and ``test``.

    roads: background patches of CamVid frames, for training only; dropped: the training crops left
    out because their frame also gives test crops; problems: the files that could not be used.
    """

    train: TsinghuaCrops
    test: TsinghuaCrops
    roads: Crops
    dropped: int
    problems: tuple[Problem, ...]


def read_tsinghua(root: Path, size: int = 32) -> TsinghuaImages:
    """The images as (3, size, size) uint8; about ten seconds.

    They are in ``tt100k_crops.zip`` and ``camvid_frames.zip`` or, without the zip file, in the
    folder itself.  The CamVid patches are drawn with a fixed seed.

    Args:
        root: the folder that holds tt100k/ and background/.
        size: of the images in pixels.

    Raises:
        UserError: one of them is missing.
    """
    preprocessing = Preprocessing(size, size, channels=3)
    crops = _zip_or_folder(root / "tt100k", "tt100k_crops.zip")
    test = read_tsinghua_crops(crops, "test", preprocessing)
    train, dropped = drop_shared_frames(read_tsinghua_crops(crops, "train", preprocessing), test)
    frames = camvid_frames(_zip_or_folder(root / "background", "camvid_frames.zip"))
    roads, problems = background_patches(
        frames, ROAD_PATCHES, ROAD_SIDES, preprocessing, np.random.default_rng(0)
    )
    return TsinghuaImages(train, test, roads, dropped, (*train.problems, *test.problems, *problems))


def tsinghua_split(
    images: TsinghuaImages, classes: ClassSplit, seen: tuple[str, ...] = (NOVELTY,), seed: int = 0
) -> Split:
    """The split of Tables 2 and 4: training crops of the in-distribution classes for train and
    validation, their test crops for test.

    validation: a tenth of the training crops, by whole frames.  Unseen are the test crops of the
    unseen classes, the ``negative`` test crops, and other noise, as many images as the
    in-distribution test set has.

    Args:
        images: of all sets.
        classes: which class plays which role.
        seen: kinds shown in training, of "Tsinghua" (the training crops of the seen classes),
            "Background" (``negative`` training crops and CamVid patches) and "Gaussian noise".
        seed: of the division and of the noise.

    Raises:
        ValueError: an unknown kind.
    """
    crops = images.train.signs.take_classes(classes.in_classes, "Tsinghua in, train")
    held_out = hold_out_frames(
        crops.source.labels, crops.frames, VALIDATION_SHARE, np.random.default_rng(seed)
    )
    test = images.test.signs.source.take_classes(classes.in_classes, "Tsinghua in, test")
    novelty = images.train.signs.source.take_classes(classes.seen)
    return Split(
        f"Tsinghua {classes.name}",
        train=_where(crops, ~held_out).source,
        validation=_where(crops, held_out).source,
        test=test,
        seen_out=_seen_out(seen, novelty, (images.train.background, images.roads), seed),
        unseen_out=_out_sets(
            images.test.signs.source.take_classes(classes.unseen),
            images.test.background.source,
            gaussian_noise(
                len(test), test.image_shape, np.random.default_rng(1)
            ),  # the same test set for every seed
        ),
    )


def tsinghua_validation_split(
    images: TsinghuaImages, classes: ClassSplit, seen: tuple[str, ...] = (NOVELTY,), seed: int = 0
) -> Split:
    """A split to choose settings with, made wholly of training data, without the unseen classes and
    the test crops.

    Half of the seen classes, in whole groups, play the unseen novelty, and half of the ``negative``
    training crops the unseen background.  One fifth of the in-distribution training crops, split by
    whole frames, serves as the test set.  Crops of the pretended unseen classes whose frame also
    gives a training or validation crop are left out, so no frame is on both sides.  The same
    ``seed`` divides alike for every ``seen``.

    Args:
        images: of all sets.
        classes: which class plays which role.
        seen: as in ``tsinghua_split``.
        seed: of the division and of the noise.

    Raises:
        ValueError: an unknown kind.
    """
    groups = [tuple(name for name in group if name in classes.seen) for group in classes.groups]
    shown, hidden = split_classes(
        [group for group in groups if group], (0.5, 0.5), np.random.default_rng(seed)
    )
    crops = images.train.signs.take_classes(classes.in_classes, "Tsinghua in, train")
    tested = hold_out_frames(
        crops.source.labels, crops.frames, PSEUDO_TEST_SHARE, np.random.default_rng(seed)
    )
    test, rest = _where(crops, tested), _where(crops, ~tested)
    held_out = hold_out_frames(
        rest.source.labels, rest.frames, VALIDATION_SHARE, np.random.default_rng(seed)
    )
    novelty = _without_frames(images.train.signs.take_classes(shown), test.frames)
    patches, other_patches = _halves(_without_frames(images.train.background, test.frames), seed)
    trained_on = np.concatenate([rest.frames, novelty.frames, patches.frames])
    unseen = _without_frames(images.train.signs.take_classes(hidden), trained_on)
    return Split(
        f"Tsinghua {classes.name}, validation",
        train=_where(rest, ~held_out).source,
        validation=_where(rest, held_out).source,
        test=test.source,
        seen_out=_seen_out(seen, novelty.source, (patches, images.roads), seed),
        unseen_out=_out_sets(
            unseen.source,
            _without_frames(other_patches, trained_on).source,
            gaussian_noise(len(test), test.source.image_shape, np.random.default_rng(2)),
        ),
    )


def _seen_out(
    seen: tuple[str, ...], novelty: Source, background: tuple[Crops, ...], seed: int
) -> tuple[OutSet, ...]:
    unknown = sorted(set(seen) - {NOVELTY, BACKGROUND, NOISE})
    if unknown:
        raise ValueError(
            f"{unknown} was to be seen; expected some of {[NOVELTY, BACKGROUND, NOISE]}"
        )
    noise = gaussian_noise(
        SEEN_NOISE if NOISE in seen else 0, novelty.image_shape, np.random.default_rng([seed, 3])
    )
    everything = _out_sets(novelty, _join(background), noise)
    return tuple(out for out in everything if out.name in seen)


def _out_sets(novelty: Source, background: Source, noise: Source) -> tuple[OutSet, ...]:
    return (
        OutSet(novelty.without_labels(NOVELTY), Kind.NOVELTY),
        OutSet(background.without_labels(BACKGROUND), Kind.ANOMALY),
        OutSet(noise.without_labels(NOISE), Kind.ANOMALY),
    )


def _join(parts: tuple[Crops, ...]) -> Source:
    pixels = np.concatenate([part.source.images(slice(None)) for part in parts])
    return replace(
        parts[0].source,
        pixels=pixels,
        labels=np.concatenate([part.source.labels for part in parts]),
    )


def _where(crops: Crops, keep: NDArray[np.bool_]) -> Crops:
    return crops.take(np.flatnonzero(keep))


def _without_frames(crops: Crops, frames: NDArray[np.str_]) -> Crops:
    return _where(crops, ~np.isin(crops.frames, frames))


def _halves(crops: Crops, seed: int) -> tuple[Crops, Crops]:
    """Two halves by frame, at random."""
    frames = np.random.default_rng(seed).permutation(np.unique(crops.frames))
    first = np.isin(crops.frames, frames[: len(frames) // 2])
    return _where(crops, first), _where(crops, ~first)


def _zip_or_folder(folder: Path, name: str) -> Path:
    return folder / name if (folder / name).is_file() else folder
