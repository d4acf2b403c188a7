"""The thing that is shipped: backbone, detector and thresholds in one module.  Images in, verdicts
out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal, get_args, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from knowbound._version import __version__
from knowbound.backbones import BACKBONES, as_backbone
from knowbound.boundary.batches import image_batches, join
from knowbound.boundary.conformal import By
from knowbound.boundary.domain import Domain
from knowbound.boundary.domain_images import far_sources, near_sources
from knowbound.boundary.likeness import Likeness
from knowbound.boundary.model_file import read_model, write_model
from knowbound.boundary.parts import described, make_domain, own_network, part_of, resize_buffer
from knowbound.boundary.remembered import packed, unpacked
from knowbound.boundary.threshold import Threshold
from knowbound.data.pictures.given import Picture, image_of, is_one, one_or_several
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import Source
from knowbound.detectors import DETECTORS
from knowbound.detectors.detector import Detector
from knowbound.detectors.learning import check_scores
from knowbound.errors import UserError
from knowbound.judgement import Judgement, Verdict, verdicts
from knowbound.judgement.false_discovery import check_fdr, verdicts_at_fdr
from knowbound.model_folder.card import write_card
from knowbound.outputs import Outputs
from knowbound.values import Array, JsonMapping, JsonObject

Judging = Literal["float32", "bf16"]
"""Number formats that a boundary judges in."""


class Boundary(nn.Module):
    """Known, novelty or anomaly for every image.

    An image is known if its detector score is at most the threshold of its class.  One that is not
    is a novelty if its domain score is at most the domain's own threshold, else an anomaly.  Call
    ``learn`` with training images and ``calibrate`` with held-out ones before judging;
    ``knowbound.fit`` does both.

    Three verbs are for everyday use: ``predict`` takes pictures, ``judge`` takes images already in
    the model's shape, ``save`` and ``load`` keep it in a folder.

    Args:
        backbone: the network; a module of your own may give its embeddings (or logits) alone.
        detector: what scores its outputs.
        preprocessing: how a picture becomes an image of the network's shape.
        class_names: of the classes 0..C-1.
        acceptance: share of new in-distribution images to accept, between 0 and 1.
        judging: number format of the network's arithmetic: bf16 is nearly twice as fast where the
            processor multiplies it, and slower than float32 elsewhere.  The detector and the
            thresholds are fitted in it, it is kept with the model, and every machine judges in it.
        about: what it was trained on and how, as JSON values.

    Raises:
        UserError: an acceptance that is no share between 0 and 1, or another number format.
    """

    def __init__(
        self,
        backbone: nn.Module,
        detector: Detector,
        preprocessing: Preprocessing,
        class_names: Sequence[str],
        *,
        acceptance: float = 0.95,
        judging: Judging = "float32",
        about: JsonMapping | None = None,
    ) -> None:
        super().__init__()
        if judging not in get_args(Judging):
            raise UserError(
                f"the number format {judging!r} was asked for; expected one of {get_args(Judging)}"
            )
        if not 0 < acceptance < 1:
            raise UserError(
                f"an acceptance of {acceptance} was asked for; expected a share between 0 and 1, "
                "such as 0.95"
            )
        self.backbone = as_backbone(
            backbone, "logits" if "logits" in detector.reads else "embedding"
        )
        self.detector = detector
        self.domain: Domain | Likeness = Domain()
        self.preprocessing = preprocessing
        self.class_names = tuple(class_names)
        self.acceptance = acceptance
        self.judging: Judging = judging
        self.about: JsonObject = dict(about or {})
        self.threshold = Threshold(len(self.class_names))
        for name in ("learned_pictures", "shown_pictures"):
            self.register_buffer(name, torch.empty(0, dtype=torch.int64))

    @torch.no_grad()
    def learn(
        self,
        source: Source,
        *,
        near: Sequence[Source] = (),
        far: Sequence[Source] = (),
        domain: bool = True,
    ) -> "Boundary":
        """Fit the detector and the domain score; the boundary itself.

        The images are embedded as they are: what a detector's ``prepare`` does is for images to be
        judged.

        Args:
            source: in-distribution training images, labels 0..C-1.
            near: images of no known class but of the same kind of picture: what the network was
                pushed away from because it looks like a novelty, and declared novelties.  Known
                images in other colours are added, where there are colours.
            far: anomalies.  Synthetic ones, noise and pieces of two photographs, are added.
            domain: False leaves the domain score out, and every unknown image is a novelty.

        Raises:
            UserError: no image to learn from, or images that nothing can be learned from.
        """
        _refuse_none(source, "learn from")
        outputs = self._outputs_of(source)
        labels = torch.from_numpy(source.labels)
        if not domain:
            return self.learn_outputs(outputs, labels)
        novelties = near_sources(source, near)
        return self.learn_outputs(
            outputs,
            labels,
            near=self._stages(novelties) if novelties else None,
            far=self._stages(far_sources(source, far)),
        )

    def _outputs_of(self, source: Source) -> Outputs:
        """What the detector reads of all images, and their stages."""
        wanted = {*self.detector.reads, "stages"}
        parts = [
            [outputs.get(field) if field in wanted else None for field in Outputs._fields]
            for outputs in map(self.outputs, self.batches(source))
        ]
        columns = zip(*parts, strict=True)
        return Outputs(*(torch.cat(c) if c[0] is not None else None for c in columns))

    @torch.no_grad()
    def learn_outputs(
        self,
        outputs: Outputs,
        labels: Tensor,
        *,
        near: Tensor | None = None,
        far: Tensor | None = None,
    ) -> "Boundary":
        """As ``learn``, from what the network said of the images; the boundary itself.

        Args:
            outputs: of N in-distribution training images, with stages.
            labels: (N,) in 0..C-1.
            near: (M, S) stages of images of no known class but of the same kind of picture.
            far: (K, S) stages of anomalies.  None leaves the domain score out, and every unknown
                image is a novelty.
        """
        vectors, stages = self.detector.read(outputs), outputs.get("stages")
        labels = labels.to(vectors.device)
        self.detector.learn(vectors, labels, self.class_names)
        self.domain = Domain().to(stages.device)
        if far is None:
            self.domain.leave_out(stages.shape[1])
            return self
        self.domain.fit(stages, labels, near, far)
        return self

    def _stages(self, sources: Sequence[Source]) -> Tensor:
        """The stages of all images of the sources."""
        batches = chain.from_iterable(map(self.batches, sources))
        parts = [self.outputs(images).get("stages") for images in batches]
        return torch.cat(parts)

    def remember(self, learned: Sequence[str], shown: Sequence[str]) -> None:
        """Keep which pictures it was fitted on, so that an evaluation can tell them from new ones.

        Args:
            learned: fingerprints (``data.pictures.copies``) of the known images, held-out ones too.
            shown: of the out-of-distribution images seen in training.
        """
        self.learned_pictures, self.shown_pictures = packed(learned), packed(shown)

    def fingerprints(self) -> tuple[list[str], list[str]]:
        """What ``remember`` was given: fingerprints of the learned and of the shown pictures."""
        return unpacked(self.learned_pictures), unpacked(self.shown_pictures)

    @torch.no_grad()
    def calibrate(
        self,
        source: Source,
        groups: NDArray[np.int64] | None = None,
        *,
        by: By = "all",
        confidence: float | None = None,
        max_error: float | None = None,
    ) -> "Boundary":
        """Set the threshold from held-out in-distribution images, by split-conformal prediction.

        Args:
            source: held-out images, like new ones.
            groups: (N,) the group of each: copies, frames of one track.  None: each is on its own.
            by: one threshold for ``all`` classes, or one for each ``class`` with enough images.
            confidence: None promises the acceptance on average; 0.95 in 95% of all draws.
            max_error: accept fewer images where it takes that so that, with this confidence (0.95
                where none is stated), at most this share of the accepted ones has the wrong class.

        Raises:
            UserError: fewer images or groups than it takes; it says how many.
        """
        _refuse_none(source, "set the threshold from")
        parts = []
        for images in self.batches(source):
            vectors = self.detector.read(self.prepared_outputs(images))
            parts.append((self.detector.score(vectors).double(), self.detector.classify(vectors)))
        scores, nearest = (torch.cat(column) for column in zip(*parts, strict=True))
        return self.calibrate_scores(
            scores,
            nearest,
            torch.from_numpy(source.labels),
            groups,
            by=by,
            confidence=confidence,
            max_error=max_error,
        )

    def calibrate_scores(
        self,
        scores: Tensor,
        nearest: Tensor,
        labels: Tensor,
        groups: NDArray[np.int64] | None = None,
        *,
        by: By = "all",
        confidence: float | None = None,
        max_error: float | None = None,
    ) -> "Boundary":
        """As ``calibrate``, from what the detector said of images that it did not learn from.

        Args:
            scores: (N,) float64.
            nearest: (N,) the class that each was taken for.
            labels: (N,) its class.
            groups: as in ``calibrate``.
            by: as in ``calibrate``.
            confidence: as in ``calibrate``.
            max_error: as in ``calibrate``.

        Raises:
            UserError: fewer images or groups than it takes; it says how many.
        """
        check_scores(scores)
        self.threshold.fit(
            scores,
            nearest,
            groups,
            acceptance=self.acceptance,
            by=by,
            confidence=confidence,
            max_error=max_error,
            correct=nearest.cpu() == labels.cpu(),
        )
        return self

    def adjust(self, acceptance: float, confidence: float | None = None) -> "Boundary":
        """Set another acceptance from the held-out scores that it remembers; the boundary itself.

        A largest error is no longer promised.

        Args:
            acceptance: share of new in-distribution images to accept, above 0 and below 1.
            confidence: None promises it on average; 0.95 in 95% of all draws.

        Raises:
            UserError: fewer held-out images than it takes; it says how many.
            ValueError: a boundary that was not calibrated.
        """
        self.check_calibrated()
        self.threshold.adjust(acceptance, confidence)
        self.acceptance = acceptance
        return self

    @torch.no_grad()
    def outputs(self, images: Tensor, *, stages: bool = True) -> Outputs:
        """The network's outputs, computed in the boundary's number format, as float32.

        Args:
            images: (N, C, H, W) float32 in [0, 1].
            stages: whether to give the pooled activations too.
        """
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.judging == "bf16"):
            given: Outputs = self.backbone(images, stages=stages)
        return given.float()

    def prepared_outputs(self, images: Tensor) -> Outputs:
        """The outputs for the images as the detector wants them judged.

        Args:
            images: (N, C, H, W) float32 in [0, 1].
        """
        return self.outputs(self.detector.prepare(self.backbone, images))

    @torch.no_grad()
    def forward(self, images: Tensor) -> Judgement[Tensor]:
        """What is said of images.

        Args:
            images: (N, C, H, W) float32 in [0, 1].

        Returns:
            The judgement, as tensors on the same device.
        """
        return self.decide(self.prepared_outputs(images), images)

    def decide(self, outputs: Outputs, images: Tensor) -> Judgement[Tensor]:
        """What is said of images whose outputs are there.

        Args:
            outputs: of the network for N images.
            images: (N, C, H, W) float32 in [0, 1], for a domain score that looks at them.
        """
        domain_score = self.domain.score(
            images if self.domain.reads_images else outputs.get("stages")
        )
        vectors = self.detector.read(outputs)
        score = self.detector.score(vectors).double()
        nearest = self.detector.classify(vectors)
        unknown = torch.where(domain_score <= self.domain.threshold, 1, 2)
        return Judgement(
            embedding=outputs.shown,
            score=score,
            p_value=self.threshold.p_value(score, nearest),
            domain_score=domain_score,
            nearest=nearest,
            decision=torch.where(self.threshold.accepts(score, nearest), 0, unknown),
        )

    def judge(self, images: Array | Tensor | Source) -> Judgement[Array]:
        """What the boundary says of images already in its own shape, batch by batch, as arrays.

        Args:
            images: a source, or (N, C, H, W), uint8 in 0..255 or float32 in [0, 1].

        Raises:
            ValueError: another shape, or a boundary that was not calibrated.
        """
        self.check_calibrated()
        if not isinstance(images, Source):
            array = images.cpu().numpy() if isinstance(images, Tensor) else images
            images = Source("images", array, np.full(len(array), -1, dtype=np.int64))
        return join([self(batch) for batch in self.batches(images)])

    def check_calibrated(self) -> None:
        """Check that there is a threshold.

        Raises:
            ValueError: there is none yet.
        """
        if not len(self.threshold.held):
            raise ValueError(
                "this boundary has no threshold yet; call calibrate with held-out in-distribution "
                "images"
            )

    @overload
    def predict(self, pictures: Picture, *, fdr: float | None = None) -> Verdict: ...  # type: ignore[overload-overlap]
    @overload
    def predict(
        self, pictures: Iterable[Picture], *, fdr: float | None = None
    ) -> list[Verdict]: ...
    def predict(
        self, pictures: Picture | Iterable[Picture], *, fdr: float | None = None
    ) -> Verdict | list[Verdict]:
        """The verdict on one picture, or a list of verdicts on several, of any size.

        Args:
            pictures: one or several of: a path, the bytes of a picture file, a PIL image, an array
                (H, W) or (H, W, 3), a tensor (H, W) or (3, H, W).  Array and tensors are uint8, or
                floating-point numbers in [0, 1]; with four axes they are several pictures.
            fdr: decide on these pictures together, so that on average at most this share of those
                called unknown are known ones; None: each by the threshold, whatever the others.

        Raises:
            UserError: a file that cannot be read, or anything else that is no picture (the command
                line's ``predict`` reports it in its row instead); an ``fdr`` that is no share.
        """
        if fdr is not None:
            check_fdr(fdr)
        verdicts = self._verdicts(one_or_several(pictures))
        if fdr is not None:
            verdicts = verdicts_at_fdr(verdicts, fdr, self.domain_threshold)
        return verdicts[0] if is_one(pictures) else verdicts

    def _verdicts(self, pictures: Sequence[Picture]) -> list[Verdict]:
        images = [image_of(picture, self.preprocessing) for picture in pictures]
        return self.verdicts(self.judge(np.stack(images))) if images else []

    @property
    def domain_threshold(self) -> float:
        """An unknown image is an anomaly if its domain score is above."""
        return float(self.domain.threshold)

    def verdicts(self, judgement: Judgement[Array]) -> list[Verdict]:
        """The judgement in words.

        Args:
            judgement: of N images.

        Returns:
            A verdict for each image.
        """
        nearest = torch.from_numpy(judgement.nearest).to(self.threshold.pool.device)
        thresholds = self.threshold.threshold_of(nearest).tolist()
        return verdicts(judgement, thresholds, self.class_names)

    def batches(self, source: Source) -> Iterator[Tensor]:
        """The images of a source on the network's device, (B, C, H, W) float32 in [0, 1].

        Args:
            source: N images of the boundary's shape.

        Raises:
            ValueError: images of another shape.
        """
        wanted = self.preprocessing
        expected = (wanted.channels, wanted.height, wanted.width)
        if source.image_shape != expected:
            raise ValueError(
                f"images of {source.name!r} have the shape {source.image_shape}; expected "
                f"{expected}: bring them there with boundary.preprocessing.apply"
            )
        self.eval()
        return image_batches(self.backbone, source)

    def describe(self) -> JsonObject:
        """All but the weights, as JSON values.

        Raises:
            UserError: a backbone or detector that is not one of ours: its code could not be found
                again at loading.
        """
        return {
            "knowbound": __version__,
            "class_names": list(self.class_names),
            "preprocessing": self.preprocessing.to_dict(),
            "backbone": described(own_network(self.backbone), self.backbone.settings, BACKBONES),
            "detector": described(self.detector, self.detector.settings, DETECTORS),
            "domain": self.domain.name,
            "acceptance": self.acceptance,
            "judging": self.judging,
            "promise": self._promise() if len(self.threshold.held) else None,
            "about": self.about,
        }

    def _promise(self) -> JsonObject:
        return {
            **self.threshold.describe(),
            "sentence": self.threshold.sentence(self.class_names),
        }

    @classmethod
    def from_description(
        cls, description: JsonMapping, tensors: Mapping[str, Tensor]
    ) -> "Boundary":
        """The boundary that ``describe`` described, on the CPU, in evaluation mode.

        Args:
            description: as ``describe`` gives it.
            tensors: the weights and all that was fitted, by name.

        Raises:
            KeyError, TypeError, ValueError: it names a part this version does not have, or the
                weights do not fit.
        """
        boundary = cls(
            part_of(description["backbone"], BACKBONES, "backbone"),
            part_of(description["detector"], DETECTORS, "detector"),
            Preprocessing.from_dict(description["preprocessing"]),
            description["class_names"],
            acceptance=description["acceptance"],
            judging=description.get("judging", "float32"),
            about=description["about"],
        )
        boundary.domain = make_domain(description["domain"])
        for name, tensor in tensors.items():  # buffers that fitting sizes: centres, precision, ...
            resize_buffer(boundary, name, tensor.shape)
        no_error = {"threshold.error": torch.zeros(0, dtype=torch.float64)}
        boundary.load_state_dict({**no_error, **tensors})  # which older models of format 2 lack
        return boundary.eval()

    def save(self, folder: Path | str) -> None:
        """Write the boundary to a folder: ``model.safetensors`` and ``model.json``, and for readers
        ``card.md`` and ``card.json``.

        Args:
            folder: made where it is not there; a model in it is replaced in one step.

        Raises:
            UserError: it cannot be written, or holds a part that is not one of ours.
        """
        description = self.describe()
        write_model(Path(folder), description, self.state_dict())
        write_card(Path(folder), description)

    @classmethod
    def load(cls, folder: Path | str) -> "Boundary":
        """A boundary read from a folder, on the CPU.  No code from a file is run.

        Args:
            folder: as ``save`` wrote it, by this version or an older one.

        Raises:
            UserError: anything missing, damaged or unknown.
        """
        description, tensors = read_model(Path(folder))
        try:
            return cls.from_description(description, tensors)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(
                f"{folder} describes no model this version can build: {error}"
            ) from error


def _refuse_none(source: Source, use: str) -> None:
    if not len(source):
        raise UserError(
            f"{source.name!r} has no image to {use}; expected in-distribution images of each class"
        )
