"""The thing that is shipped: backbone, detector and thresholds in one module.  Images in, verdicts
out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from knowbound.boundary.likeness import Likeness, image_statistics, smallest_accepting
from knowbound.data.preprocessing import Preprocessing, to_picture
from knowbound.data.source import Source, to_unit_interval
from knowbound.detectors.detector import Detector
from knowbound.errors import UserError
from knowbound.labels import Decision, Verdict

DECISIONS = (Decision.KNOWN, Decision.NOVELTY, Decision.ANOMALY)
BATCH = 512
"""Images decoded, or on an accelerator judged, at once."""
CPU_BATCH = 64
"""Images judged at once on a CPU: the activations of more leave its caches, and their memory is
asked for anew each time."""

Picture = Image.Image | str | Path | NDArray[Any]


@dataclass(frozen=True, eq=False)
class Judgement:
    """What a boundary says of N images, as arrays."""

    embeddings: NDArray[np.float32]
    """(N, D)."""
    scores: NDArray[np.float64]
    """(N,) higher = more out-of-distribution."""
    nearest: NDArray[np.int64]
    """(N,) index of the nearest class."""
    decisions: NDArray[np.int64]
    """(N,) index into ``DECISIONS``: 0 known, 1 novelty, 2 anomaly."""

    @classmethod
    def join(cls, parts: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]]) -> "Judgement":
        """What ``Boundary.forward`` gave for the batches of some images, as one."""
        if not parts:
            return cls(
                np.empty((0, 0), np.float32),
                np.empty(0),
                np.empty(0, np.int64),
                np.empty(0, np.int64),
            )
        embeddings, scores, nearest, decisions = (
            torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)
        )
        return cls(embeddings, scores.astype(np.float64), nearest, decisions)


class Boundary(nn.Module):
    """Known, novelty or anomaly for every image.

    An image is known if its detector score is at most ``threshold``.  One that is not is a novelty
    if its likeness score is within the likeness's own threshold, else an anomaly.  Call ``learn``
    with training images and ``calibrate`` with held-out ones before judging; ``knowbound.fit`` does
    both.
    """

    threshold: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        detector: Detector,
        preprocessing: Preprocessing,
        class_names: Sequence[str],
        *,
        acceptance: float = 0.95,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not 0 < acceptance < 1:
            raise UserError(
                f"an acceptance of {acceptance} was asked for; expected a share between 0 and 1, "
                "such as 0.95"
            )
        self.backbone = backbone
        self.detector: Any = detector  # an nn.Module too, which a Protocol cannot say
        self.likeness = Likeness()
        self.preprocessing = preprocessing
        self.class_names = tuple(class_names)
        self.acceptance = acceptance
        self.about: dict[str, Any] = dict(about or {})
        self.register_buffer("threshold", torch.tensor(float("nan"), dtype=torch.float64))

    def learn(self, source: Source) -> "Boundary":
        """Fit the detector and the likeness on in-distribution training images (labels 0..C-1); the
        boundary itself.

        The images are embedded as they are: what a detector's ``prepare`` does is for images to be
        judged.
        """
        labels = torch.from_numpy(source.labels)
        with torch.no_grad():
            parts = [
                (self.read(*self.outputs(images)), image_statistics(images))
                for images in self.batches(source)
            ]
        device = parts[0][0].device
        with torch.no_grad():
            self.detector.fit(torch.cat([p[0] for p in parts]), labels.to(device))
            self.likeness.fit(torch.cat([p[1] for p in parts]), labels.to(device))
        return self

    def calibrate(self, source: Source) -> "Boundary":
        """Set ``threshold`` to the smallest score that accepts ``acceptance`` of held-out
        in-distribution images.

        Raises UserError for fewer images than it takes to reject one of them at that acceptance.
        """
        least = least_to_calibrate(self.acceptance)
        if len(source) < least:
            raise UserError(
                f"{len(source)} held-out images are there to set the threshold from; expected at "
                f"least {least} for an acceptance of {self.acceptance:g}: give more images, or "
                "hold out a larger share"
            )
        with torch.no_grad():
            scores = [
                self.detector.score(self.read(*self._prepared_outputs(images)))
                for images in self.batches(source)
            ]
        self.threshold = smallest_accepting(torch.cat(scores).double(), self.acceptance)
        return self

    @torch.no_grad()
    def embed(self, images: Tensor) -> Tensor:
        """(N, C, H, W) float32 in [0, 1] -> (N, D) float32 embeddings, after what the detector does
        to the images."""
        return self._prepared_outputs(images)[1]

    @torch.no_grad()
    def outputs(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) float32 in [0, 1] -> features (N, F) and embeddings (N, D), float32, of the
        images as they are.

        Of a network of your own without ``features`` the embeddings serve as both.
        """
        if not hasattr(self.backbone, "features"):
            embeddings: Tensor = self.backbone(images).float()
            return embeddings, embeddings
        network: Any = self.backbone
        features = network.features(images)
        return features.float(), network.embed(features).float()

    def read(self, features: Tensor, embeddings: Tensor) -> Tensor:
        """What the detector is given of the network's outputs: the embeddings, unless it says
        otherwise."""
        chosen: Tensor = (
            self.detector.read(features, embeddings)
            if hasattr(self.detector, "read")
            else embeddings
        )
        return chosen

    def _prepared_outputs(self, images: Tensor) -> tuple[Tensor, Tensor]:
        prepare = getattr(self.detector, "prepare", None)
        return self.outputs(prepare(self.backbone, images) if prepare else images)

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(N, C, H, W) float32 in [0, 1] -> embeddings (N, D), scores (N,), nearest class (N,),
        decision index (N,)."""
        features, embeddings = self._prepared_outputs(images)
        return self.decide(features, embeddings, self.likeness.score(images))

    def decide(
        self, features: Tensor, embeddings: Tensor, likeness: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Network outputs and likeness scores (N,) of images -> what ``forward`` gives for them."""
        read = self.read(features, embeddings)
        scores = self.detector.score(read)
        unknown = torch.where(likeness <= self.likeness.threshold, 1, 2)
        decisions = torch.where(scores <= self.threshold, 0, unknown)
        return embeddings, scores, self.detector.classify(read), decisions

    def judge(self, images: NDArray[Any] | Tensor) -> Judgement:
        """What the boundary says of images already in its own shape: (N, C, H, W), uint8 in 0..255
        or float32 in [0, 1].

        Raises ValueError for another shape, and if the boundary was not calibrated.
        """
        array = images.cpu().numpy() if isinstance(images, Tensor) else images
        return self.judge_source(Source("images", array, np.full(len(array), -1, dtype=np.int64)))

    def judge_source(self, source: Source) -> Judgement:
        """What the boundary says of every image of a source, batch by batch."""
        self.check_calibrated()
        return Judgement.join([self(images) for images in self.batches(source)])

    def check_calibrated(self) -> None:
        """Raises ValueError where there is no threshold yet."""
        if torch.isnan(self.threshold):
            raise ValueError(
                "this boundary has no threshold yet; call calibrate with held-out in-distribution "
                "images"
            )

    def predict(self, pictures: Iterable[Picture]) -> list[Verdict]:
        """A verdict for each picture: PIL images, paths, or arrays (H, W) or (H, W, 3), of any
        size.

        Arrays are uint8, or floating-point numbers in [0, 1].  Raises knowbound.UserError naming a
        file that cannot be read, or for anything else; the command line's ``predict`` reports it in
        its row.
        """
        from knowbound.data.pictures.picture_files import UnreadableImageError, read_image

        arrays = []
        for picture in pictures:
            if isinstance(picture, str | Path):
                try:
                    arrays.append(read_image(Path(picture), self.preprocessing)[0])
                except UnreadableImageError as error:
                    raise UserError(f"{picture} cannot be used: {error}") from error
                continue
            try:
                arrays.append(
                    self.preprocessing(
                        _from_array(picture) if isinstance(picture, np.ndarray) else picture
                    )
                )
            except (ValueError, AttributeError, TypeError) as error:
                raise UserError(
                    f"a picture of type {type(picture).__name__} cannot be used: {error}"
                ) from error
        return self.verdicts(self.judge(np.stack(arrays))) if arrays else []

    def verdicts(self, judgement: Judgement) -> list[Verdict]:
        """The judgement in words, one verdict for each image."""
        threshold = float(self.threshold)
        return [
            Verdict(
                DECISIONS[d],
                self.class_names[c] if d == 0 else None,
                self.class_names[c],
                float(s),
                threshold,
            )
            for d, c, s in zip(
                judgement.decisions, judgement.nearest, judgement.scores, strict=True
            )
        ]

    def batches(self, source: Source) -> Iterator[Tensor]:
        """The images of a source on the network's device, (B, C, H, W) float32 in [0, 1], in
        evaluation mode.

        Raises ValueError for images of another shape than the boundary's.
        """
        expected = (
            self.preprocessing.channels,
            self.preprocessing.height,
            self.preprocessing.width,
        )
        if source.image_shape != expected:
            raise ValueError(
                f"images of {source.name!r} have the shape {source.image_shape}; expected "
                f"{expected}: bring them there with boundary.preprocessing.apply"
            )
        device = next(self.backbone.parameters()).device
        self.eval()
        size = CPU_BATCH if device.type == "cpu" else BATCH
        for start in range(0, len(source), size):
            pixels = to_unit_interval(source.images(slice(start, start + size)))
            yield torch.from_numpy(pixels).to(device, memory_format=torch.channels_last)

    def save(self, folder: Path | str) -> None:
        """Write the boundary to a folder: ``model.safetensors`` and ``model.json``.  Raises
        UserError if it cannot."""
        from knowbound.boundary.model_file import save_boundary

        save_boundary(self, Path(folder))

    @classmethod
    def load(cls, folder: Path | str) -> "Boundary":
        """A boundary read from a folder, on the CPU.  Raises UserError for anything missing,
        damaged or unknown."""
        from knowbound.boundary.model_file import load_boundary

        return load_boundary(Path(folder))


def least_to_calibrate(acceptance: float) -> int:
    """The fewest held-out images of which a threshold can reject one, for an acceptance between 0
    and 1: 20 at 0.95."""
    return int(np.ceil(1 / (1 - acceptance) - 1e-9))


def _from_array(image: NDArray[Any]) -> Image.Image:
    """A picture of (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).  Raises ValueError for values whose
    range nothing tells."""
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
        raise ValueError(f"its shape is {image.shape}; expected (H, W) or (H, W, 3)")
    in_range = image.dtype.kind == "f" and image.size > 0 and image.min() >= 0 and image.max() <= 1
    if image.dtype != np.uint8 and not in_range:
        raise ValueError(
            f"it holds {image.dtype}; expected uint8, or floating-point numbers from 0 to 1"
        )
    return to_picture(image[None] if image.ndim == 2 else image.transpose(2, 0, 1))
