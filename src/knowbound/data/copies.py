"""Which images are equal, and which are nearly equal: the same picture stored again, resized or
brightened a little.

Two pictures are compared as thumbnails of at most 16 x 16 pixels, from which each channel's mean
and the contrast are taken away, so that a thumbnail is a vector of length 1.  They are nearly equal
if the distance of the two vectors is at most a tenth of what two pictures of their class usually
have, and at most 0.12.  So a class of parts under one fixed camera, all alike, does not become one
picture.  Pictures without contrast have nothing to compare, and are joined only where they are
equal.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from knowbound.data.source import Source
from knowbound.values import Array

SIDE = 16
"""Of a thumbnail, in pixels.  At 8 pixels 27 pairs of 60,000 MNIST digits lie within 0.05, at 16
none."""
NEAR = 0.1
"""Of the usual distance in a class.  Within it: 3 pairs of 60,000 MNIST digits, 3 of 20,000 CIFAR-10
pictures, none of 20,000 signs; nine of ten 32-pixel photographs stored as JPEG of quality 90."""
AT_MOST = 0.12
LEAST_CONTRAST = 5.0
"""Standard deviation in grey levels of 255: below it noise decides.  Patches of sky have less."""
ENOUGH = 20
"""Images of a class from which its usual distance is known; smaller classes take that of all."""
SAMPLED = 500
"""Pairs whose median is the usual distance."""
DIRECTIONS = 8
"""Principal directions in which candidates are looked for: a projection never lengthens a distance,
so none is missed."""
CLOSER = 32
"""Principal directions in which candidates are compared before the whole vectors are."""
ROUNDING = 1e-4
"""Of a distance of projections in float32: what it may be too large by."""
BLOCK = 1024
TOGETHER = 10_000_000
"""Candidates held at once: 240 MB."""

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """What is kept of N images to tell copies by.

    first: (N,) int64, the index of the first image with the same pixels; vectors: (N, V) float16,
    thumbnails of length 1 and mean 0 in each channel; contrast: (N,) in grey levels of 255.
    """

    first: NDArray[np.int64]
    vectors: NDArray[np.float16]
    contrast: NDArray[np.float32]


def fingerprints(source: Source) -> Fingerprints:
    """What is kept of every image of a source, in one pass; at most 1.5 kB an image."""
    owner: dict[bytes, int] = {}
    first, vectors, contrast = np.empty(len(source), np.int64), [], []
    for start in range(0, len(source), BLOCK):
        images = source.images(slice(start, start + BLOCK))
        for index, image in enumerate(images, start):
            digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
            first[index] = owner.setdefault(digest, index)
        small, spread = _thumbnails(images)
        vectors.append(small)
        contrast.append(spread)
    if not vectors:
        return Fingerprints(first, np.empty((0, 0), np.float16), np.empty(0, np.float32))
    return Fingerprints(first, np.concatenate(vectors), np.concatenate(contrast))


def near_pairs(prints: Fingerprints, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """(P, 2) indices of nearly equal images, the smaller first, in ascending order; of equal images
    only the first stands for all.

    Args:
        prints: of N images.
        labels: (N,) their classes, for the usual distance in each.
    """
    distinct = prints.first == np.arange(len(prints.first))
    chosen = np.flatnonzero(distinct & (prints.contrast >= LEAST_CONTRAST))
    if len(chosen) < 2:
        return np.empty((0, 2), np.int64)
    vectors = prints.vectors[chosen]
    radius = _radii(vectors, labels[chosen])
    points = _project(vectors)
    coarse = points[:, -DIRECTIONS:].astype(np.float64)
    pairs = [np.empty((0, 2), np.int64)]
    for one, other in _candidates(coarse, float(radius.max()) + ROUNDING):
        for compared, rounding in ((points, ROUNDING), (vectors, 0.0)):
            limit = np.minimum(radius[one], radius[other]) + rounding
            good = _distances(compared, one, other) <= limit
            one, other = one[good], other[good]
        pairs.append(np.stack([chosen[one], chosen[other]], axis=1))
    return np.unique(np.concatenate(pairs), axis=0)


def _candidates(points: NDArray[np.float64], radius: float) -> Iterator[Pairs]:
    """Every pair (i < j) of points within a radius, in parts of about ``TOGETHER``."""
    whole, count = KDTree(points), len(points)
    sample = KDTree(points[:: max(1, count // 1000)])
    crowd = sample.count_neighbors(whole, radius) / sample.n
    size = max(256, int(TOGETHER / crowd))
    if size >= count:  # each pair once, without its distance: half the time
        yield from _in_blocks(*whole.query_pairs(radius, output_type="ndarray").T)
        return
    for start in range(0, count, size):
        part = KDTree(points[start : start + size])
        near = part.sparse_distance_matrix(whole, radius, output_type="ndarray")
        one, other = near["i"] + start, near["j"]
        once = one < other
        yield from _in_blocks(one[once], other[once])


def _in_blocks(one: NDArray[np.int64], other: NDArray[np.int64]) -> Iterator[Pairs]:
    for first in range(0, len(one), 8 * BLOCK):
        yield one[first : first + 8 * BLOCK], other[first : first + 8 * BLOCK]


def _distances(
    vectors: NDArray[np.float16] | NDArray[np.float32],
    one: NDArray[np.int64],
    other: NDArray[np.int64],
) -> NDArray[np.float32]:
    """(P,) distances of the vectors (M, V) at two rows of indices (P,)."""
    difference = vectors[one].astype(np.float32, copy=False)
    difference -= vectors[other]
    distances: NDArray[np.float32] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return distances


def _thumbnails(images: Array) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """(B, C, H, W) -> thumbnails of length 1 (B, V) and contrasts (B,) in grey levels."""
    scale = 1.0 if images.dtype == np.uint8 else 255.0
    rows, columns = (_averages(length) for length in images.shape[2:])
    small = rows @ (images.astype(np.float32) * np.float32(scale)) @ columns.T
    small -= small.mean(axis=(2, 3), keepdims=True)
    flat = small.reshape(len(images), -1)
    contrast = np.sqrt(np.mean(flat**2, axis=1))
    length = np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return (flat / length).astype(np.float16), contrast.astype(np.float32)


def _averages(length: int) -> NDArray[np.float32]:
    """(T, length) weights that average a row of pixels over T <= 16 equal parts of it."""
    parts = min(SIDE, length)
    edges = np.linspace(0, length, parts + 1)
    starts = np.arange(length)
    overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    weights: NDArray[np.float32] = (np.clip(overlap, 0, None) * (parts / length)).astype(np.float32)
    return weights


def _radii(vectors: NDArray[np.float16], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """(M,) the distance up to which each image's neighbours are nearly equal to it."""
    usual = np.full(len(labels), _usual_distance(vectors))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) >= ENOUGH:
            usual[members] = _usual_distance(vectors[members])
    return np.minimum(NEAR * usual, AT_MOST)


def _usual_distance(vectors: NDArray[np.float16]) -> float:
    """The median distance of pairs of different vectors, the same pairs every time."""
    rng, count = np.random.default_rng(0), len(vectors)
    one = rng.integers(count, size=SAMPLED)
    other = (one + rng.integers(1, count, size=SAMPLED)) % count
    return float(np.median(_distances(vectors, one, other)))


def _project(vectors: NDArray[np.float16]) -> NDArray[np.float32]:
    """(M, V) -> (M, <= 32) coordinates along the directions in which the vectors differ most, the
    last one first."""
    step = max(1, len(vectors) // 20_000)
    sample = vectors[::step].astype(np.float32)
    _, directions = np.linalg.eigh(sample.T @ sample)
    leading = directions[:, -CLOSER:]
    blocks = range(0, len(vectors), BLOCK)
    return np.concatenate([vectors[s : s + BLOCK].astype(np.float32) @ leading for s in blocks])
