"""A boundary on a frozen network: nothing is trained, or it is fine-tuned first.  Every picture is
embedded once and its outputs are kept on disk, so that trying again takes seconds."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from knowbound._version import __version__
from knowbound.backbones import Backbone
from knowbound.boundary import Boundary
from knowbound.boundary.conformal import By
from knowbound.building.kept_tunings import InTurn, tuned_once
from knowbound.building.parts import OnStep
from knowbound.building.tuned import Tuned
from knowbound.building.tuning import Tuning
from knowbound.data.feature_cache import FeatureCache, pixel_keys
from knowbound.data.outs.anomalies import anomaly_images
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import Source, to_unit_interval
from knowbound.data.split import OutSet
from knowbound.detectors.detector import Detector
from knowbound.errors import UserError
from knowbound.labels import Kind
from knowbound.outputs import Outputs
from knowbound.provenance import commit, provenance
from knowbound.training.loop import Progress, describe_hardware
from knowbound.training.pace import Precision, choose_precision
from knowbound.values import Array, JsonMapping

ANOMALIES = 240
"""Synthetic ones that teach the domain score: a twelfth each is one kind of noise, the others are
pieces of photographs.  docs/photographs.md has what fewer and more give."""
DOMAIN_IMAGES = 2000
"""At most so many of each set of seen-out images teach the domain score."""
ROWS = 1
"""Of what a network computes for a picture: to be raised with a change of its arithmetic."""
PARTS = 25
"""In which the images are left out at most, where none are held out."""
TUNED_PARTS = 5
"""The same of a network that is fine-tuned again without each."""
TOLD = 48
"""Synthetic images that are made to know whether those of a cache are the same: some of each kind."""
STAGE = "features"
"""What the progress of embedding is called."""


@dataclass(frozen=True, eq=False)
class Embedded:
    """What a frozen network said of N images.

    outputs: stages and features, float32 on the CPU; computed: how many images were not in the
    cache before; seconds: that it took; remarks: what the user should know of the cache.
    """

    outputs: Outputs
    computed: int
    seconds: float
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.outputs.get("features"))

    def take(self, indices: NDArray[np.int64]) -> Outputs:
        """The outputs of some of the images.

        Args:
            indices: positions, in the order wanted.
        """
        chosen = torch.from_numpy(indices)
        return Outputs(*(None if value is None else value[chosen] for value in self.outputs))


@dataclass(frozen=True, eq=False)
class FrozenNetwork:
    """A network that nothing is done to, and the cache of what it said.

    Where its features can be pooled in several ways, all are kept at once, so that trying another
    computes nothing.

    Args:
        network: with the weights that it keeps.
        name: of the network, for people and for the cache's folders.
        side: in pixels, of the square images it is given.
        precision: ``float32``, ``bf16``, or ``auto``: bf16 where the machine multiplies it.
        cache: where its outputs are kept.
    """

    network: Backbone
    name: str
    side: int
    precision: Precision = "auto"
    cache: FeatureCache = field(default_factory=FeatureCache)

    def __post_init__(self) -> None:
        self.network.eval().requires_grad_(False)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def pooled_by(self, pooling: str) -> Self:
        """The same, with features that are pooled in another way; what is kept serves both.

        Args:
            pooling: one of the network's ``poolings``.
        """
        return replace(self, network=self.network.pooled_by(pooling))

    def tuned_on(
        self,
        source: Source,
        features: Tensor,
        tuning: Tuning,
        in_turn: InTurn | None = None,
        on_step: OnStep | None = None,
    ) -> tuple[Self, Tuned]:
        """The same, fine-tuned, and what the training was; what was tuned before is not tuned again.

        Args:
            source: of N images of the network's size, labels 0..C-1.
            features: (N, F) that the network has of them.
            tuning: how.
            in_turn: what is left out of tunings in turn; None: nothing is.
            on_step: called after every step.

        Raises:
            UserError: classes that cannot be trained on.
        """
        made = tuned_once(self.network, self.key, source, features, tuning, in_turn, on_step)
        return replace(self, network=made.network, name=f"{self.name}-tuned"), made

    @cached_property
    def _whole(self) -> Backbone:
        """The network with every pooling it has: what is kept."""
        return self.network.with_all_poolings()

    @property
    def numbers(self) -> str:
        """The format that it computes in: ``float32`` or ``bf16``."""
        return choose_precision(self.precision, self._device)

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    @cached_property
    def key(self) -> str:
        """A name that differs wherever the weights, the size of the images or the format do."""
        computed_by = (__version__, torch.__version__, ROWS)
        digest = hashlib.sha256(repr((computed_by, sorted(self._whole.settings.items()))).encode())
        for name, tensor in self._whole.state_dict().items():
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return f"{self.name}-{self.side}-{self.numbers}-{digest.hexdigest()[:16]}"

    def embed(
        self,
        source: Source,
        pictures: Sequence[bytes] | None = None,
        on_step: OnStep | None = None,
    ) -> Embedded:
        """What the network says of every image of a source; what the cache has is not computed.

        Args:
            source: of N images of the network's size.
            pictures: N keys of 32 bytes that tell the images apart; None: of their pixels.
            on_step: called as images are found and computed.
        """
        start = time.monotonic()
        keys = pixel_keys(source) if pictures is None else pictures

        def show(done: int, count: int) -> None:
            if on_step is not None:
                speed = done / max(1e-9, time.monotonic() - start)
                on_step(Progress(done, count, float("nan"), speed, STAGE))

        kept = self.cache.features_of(
            self.key, keys, lambda positions: self._rows(source.images(positions)), show
        )
        rows = torch.from_numpy(kept.rows())
        width = self._stages_width(source.image_shape)
        features = self.network.features_of(rows[:, width:])
        outputs = Outputs(stages=rows[:, :width], features=features)
        return Embedded(outputs, kept.computed, time.monotonic() - start, kept.remarks)

    def _rows(self, images: Array) -> NDArray[np.float32]:
        given = self._outputs(torch.from_numpy(to_unit_interval(images)))
        return torch.cat([given.get("stages"), given.get("features")], dim=1).cpu().numpy()

    @torch.inference_mode()
    def _outputs(self, images: Tensor) -> Outputs:
        """(N, C, H, W) float32 in [0, 1] -> stages and features, float32."""
        images = images.to(self._device, memory_format=torch.channels_last)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.numbers == "bf16"):
            given: Outputs = self._whole(images, stages=True)
        return given.float()

    def _stages_width(self, image_shape: tuple[int, int, int]) -> int:
        return self._outputs(torch.zeros(1, *image_shape)).get("stages").shape[1]


@dataclass(frozen=True, eq=False)
class FrozenParts:
    """What a boundary on a frozen network is built from.

    frozen: the network; detector: a fresh one; acceptance, by, confidence, max_error: the
    promise, as in ``Boundary.calibrate``; seed: of the draw of held-out images; tuning: how the
    network is fine-tuned first, on the images that are not held out; None: it is not.  Where none is
    held out, the detector reads the features, and every part is left out of a tuning of its own.
    """

    frozen: FrozenNetwork
    detector: Detector
    preprocessing: Preprocessing
    tuning: Tuning | None = None
    acceptance: float = 0.95
    by: By = "all"
    confidence: float | None = None
    max_error: float | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class BuiltFrozen:
    """A calibrated boundary, and what it was made from.

    embedded: what the network said of the known images, with the images computed and the seconds
    of all sets; scores, nearest, positions: what the detector said of the known images at
    ``positions``, each of which it had not learned from: the threshold comes from them; tuned: the
    fine-tuning, if there was one.
    """

    boundary: Boundary
    embedded: Embedded
    scores: Tensor
    nearest: Tensor
    positions: NDArray[np.int64]
    tuned: Tuned | None = None


def build_frozen(
    parts: FrozenParts,
    known: Source,
    pictures: Sequence[bytes],
    held_out: NDArray[np.int64],
    seen_out: Sequence[OutSet] = (),
    *,
    groups: NDArray[np.int64],
    data_sha256: Mapping[str, str],
    note: JsonMapping | None = None,
    on_step: OnStep | None = None,
) -> BuiltFrozen:
    """Embed, fit the detector and set its threshold.

    Args:
        parts: what it is built from.
        known: N in-distribution images, labels 0..C-1.
        pictures: a key of 32 bytes for each.
        held_out: positions of those to set the threshold from.  None of them: every part is left
            out of a detector of its own, and the one that is kept learns from all images.
        seen_out: declared novelties and anomalies, which teach the domain score.
        groups: (N,) which images belong together.
        data_sha256: hash of every set of images, by its role.
        note: what to add to the settings in the model's ``about``.
        on_step: called as images are embedded.

    Raises:
        UserError: images that nothing can be learned from, or too few to set a threshold.
    """
    commit()
    frozen, tuned = parts.frozen, None
    learned = np.setdiff1d(np.arange(len(known)), held_out)
    embedded = frozen.embed(known, pictures, on_step)
    labels = torch.from_numpy(known.labels)
    if parts.tuning is not None:
        features = embedded.take(learned).get("features")
        in_turn = None
        if not len(held_out):
            check_parts(labels, groups, TUNED_PARTS)
            in_turn = InTurn(parts.detector, parts_of(known.labels, groups, TUNED_PARTS))
        frozen, tuned = frozen.tuned_on(
            known.take(learned), features, parts.tuning, in_turn, on_step
        )
        embedded = frozen.embed(known, pictures, on_step)
    synthetic = anomaly_images(known.image_shape, ANOMALIES, np.random.default_rng(0))
    made = frozen.embed(synthetic, made_keys(synthetic), on_step)
    far = [made, *_seen(frozen, seen_out, Kind.ANOMALY)]
    near = _seen(frozen, seen_out, Kind.NOVELTY)
    everything = [embedded, *far, *near]
    settings = {
        "frozen": frozen.key,
        "precision": frozen.numbers,
        "acceptance": parts.acceptance,
        **({"tuned": tuned.to_dict()} if tuned else {}),
        **(note or {}),
    }
    about = {
        "objective": "fine-tuned" if tuned else "frozen",
        "train_seconds": round(tuned.seconds, 2) if tuned else 0.0,
        "train_images": tuned.images if tuned else 0,
        **provenance(settings, data_sha256, describe_hardware(torch.device("cpu"))),
    }
    boundary = Boundary(
        frozen.network,
        parts.detector,
        parts.preprocessing,
        known.class_names,
        acceptance=parts.acceptance,
        about=about,
    )
    boundary.learn_outputs(
        embedded.take(learned),
        labels[learned],
        near=_stages(near) if near else None,
        far=_stages(far),
    )
    if len(held_out):
        positions = held_out
        vectors = parts.detector.read(embedded.take(held_out))
        scores = parts.detector.score(vectors).double()
        nearest = parts.detector.classify(vectors)
    else:
        positions = learned
        scores, nearest = (
            tuned.left_out
            if tuned is not None and tuned.left_out is not None
            else left_out(parts.detector, embedded.outputs, labels, groups)
        )
    boundary.calibrate_scores(
        scores,
        nearest,
        labels[positions],
        groups[positions],
        by=parts.by,
        confidence=parts.confidence,
        max_error=parts.max_error,
    )
    told = replace(
        embedded,
        computed=sum(one.computed for one in everything),
        seconds=sum(one.seconds for one in everything),
        remarks=tuple(dict.fromkeys(r for one in everything for r in one.remarks)),
    )
    return BuiltFrozen(boundary, told, scores, nearest, positions, tuned)


def left_out(
    detector: Detector, outputs: Outputs, labels: Tensor, groups: NDArray[np.int64]
) -> tuple[Tensor, Tensor]:
    """What detectors of the same kind say of images that they did not learn from: a part of the
    groups is left out in turn, in at most ``PARTS`` parts with about as much of each class.

    Args:
        detector: learned or not; it stays as it is.
        outputs: of N images.
        labels: (N,) in 0..C-1.
        groups: (N,) which images belong together.

    Returns:
        (N,) float64 scores, and (N,) the class that each image is taken for.

    Raises:
        UserError: a class all of whose images are one group.
    """
    vectors = detector.read(outputs)
    scores = vectors.new_zeros(len(vectors), dtype=torch.float64)
    nearest = torch.zeros_like(labels)
    check_parts(labels, groups)
    parts = torch.from_numpy(parts_of(labels.numpy(), groups))
    for part in parts.unique():
        out = parts == part
        other = type(detector)(**detector.settings).fit(vectors[~out], labels[~out])
        scores[out] = other.score(vectors[out]).double()
        nearest[out] = other.classify(vectors[out])
    return scores, nearest


def made_keys(source: Source) -> list[bytes]:
    """A key of 32 bytes for each image of a source that one function makes from one seed.

    The pixels of the first images stand for those of all, so that images whose outputs are kept need
    not be made.

    Args:
        source: of synthetic images.
    """
    told = b"".join(pixel_keys(source.take(np.arange(min(TOLD, len(source))))))
    return [
        hashlib.sha256(told + f"{index} of {len(source)}".encode()).digest()
        for index in range(len(source))
    ]


def check_parts(labels: Tensor, groups: NDArray[np.int64], count: int = PARTS) -> None:
    """Check that each part can be left out.

    Args:
        labels: (N,) in 0..C-1.
        groups: (N,) which images belong together.
        count: of parts at most.

    Raises:
        UserError: a class all of whose images are in one part.
    """
    parts = parts_of(labels.numpy(), groups, count)
    both = np.unique(np.stack([labels.numpy(), parts]), axis=1)
    if (np.bincount(both[0]) < 2).any():
        raise UserError(
            "a class has pictures of one group alone, so none can be left out to set the "
            "threshold with; add other pictures of it, or group them in another way"
        )


def parts_of(
    labels: NDArray[np.int64], groups: NDArray[np.int64], count: int = PARTS
) -> NDArray[np.int64]:
    """Which images are left out together: whole groups, about as many of each class in each part.

    Args:
        labels: (N,) in 0..C-1.
        groups: (N,) which images belong together.
        count: of parts at most.

    Returns:
        (N,) numbers of parts, 0..P-1 with P at most ``count``.
    """
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    order = np.argsort(labels[first], kind="stable")
    part = np.empty(len(first), dtype=np.int64)
    part[order] = np.arange(len(first)) % count
    return part[inverse]


def _seen(frozen: FrozenNetwork, seen_out: Sequence[OutSet], kind: Kind) -> list[Embedded]:
    """What the network says of at most ``DOMAIN_IMAGES`` of each set of a kind."""
    rng = np.random.default_rng(0)
    drawn = [out.source.sample(DOMAIN_IMAGES, rng) for out in seen_out if out.kind is kind]
    return [frozen.embed(source) for source in drawn]


def _stages(parts: Sequence[Embedded]) -> Tensor:
    return torch.cat([part.outputs.get("stages") for part in parts])
