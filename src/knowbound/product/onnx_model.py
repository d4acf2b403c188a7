"""An exported model: one file, judged by onnxruntime, without torch."""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knowbound._version import __version__
from knowbound.data.pictures.given import Picture, image_of, is_one, one_or_several
from knowbound.data.preprocessing import Preprocessing
from knowbound.errors import UserError
from knowbound.files import sentence_for
from knowbound.judgement import Judgement, Verdict, verdicts
from knowbound.judgement.false_discovery import verdicts_at_fdr
from knowbound.values import JsonObject

FORMAT, FORMAT_VERSION = "knowbound-onnx", 1
KEY = "knowbound"
"""Of the metadata."""
UNSEALED = "0" * 64
"""In the place of the checksum, while it is computed."""
SEAL = re.compile(rb'"sha256": "([0-9a-f]{64})"')
OUTPUTS = Judgement._fields
BATCH = 64


def seal(content: bytes) -> bytes:
    """The file with the SHA-256 of all its other bytes in its metadata."""
    digest = hashlib.sha256(content).hexdigest()
    return content.replace(f'"sha256": "{UNSEALED}"'.encode(), f'"sha256": "{digest}"'.encode(), 1)


class ExportedModel:
    """Known, novelty or anomaly for every picture, as the exported ``Boundary`` says it.

    Args:
        session: of onnxruntime.
        about: the metadata that ``export`` wrote.
    """

    def __init__(self, session: Any, about: JsonObject) -> None:
        self.session, self.about = session, about
        self.preprocessing = Preprocessing.from_dict(about["preprocessing"])
        self.class_names = tuple(about["class_names"])
        self.thresholds = np.array(
            [np.inf if t is None else t for t in about["thresholds"]], dtype=np.float64
        )

    @classmethod
    def load(cls, path: Path | str) -> "ExportedModel":
        """The model in a file.  No code from it is run.

        Raises:
            UserError: onnxruntime is not installed, or the file is missing, was changed, or is of
                another format.
        """
        return cls.from_bytes(_content(Path(path)), Path(path))

    @classmethod
    def from_bytes(cls, content: bytes, path: Path) -> "ExportedModel":
        """The model in the content of a file; path: of the file, for the errors.

        Raises:
            UserError: as ``load``.
        """
        onnxruntime = _onnxruntime()
        about = _metadata(path, content)
        try:
            session = onnxruntime.InferenceSession(
                content, _calm(onnxruntime), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises classes of its own
            raise UserError(f"{path} cannot be used: {str(error).splitlines()[0]}") from error
        return cls(session, about)

    def judge(self, images: NDArray[np.uint8]) -> Judgement[Any]:
        """What is said of images.

        Args:
            images: (N, C, H, W) uint8, in the model's own shape.

        Returns:
            The judgement, as arrays.
        """
        parts = [
            self.session.run(list(OUTPUTS), {"images": images[start : start + BATCH]})
            for start in range(0, max(len(images), 1), BATCH)
        ]
        return Judgement(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def verdicts(self, judgement: Judgement[Any]) -> list[Verdict]:
        """The judgement in words.

        Args:
            judgement: of N images.

        Returns:
            A verdict for each image.
        """
        thresholds = self.thresholds[judgement.nearest].tolist()
        return verdicts(judgement, thresholds, self.class_names)

    @property
    def domain_threshold(self) -> float:
        """An unknown image is an anomaly if its domain score is above.

        Raises:
            UserError: the file was written before it was kept.
        """
        if "domain_threshold" not in self.about:
            raise UserError(
                "this file was exported before batches could be decided together; export the model "
                "again"
            )
        return float(self.about["domain_threshold"])

    def predict(
        self, pictures: Picture | Iterable[Picture], *, fdr: float | None = None
    ) -> Verdict | list[Verdict]:
        """The verdict on one picture, or a list of verdicts on several; as ``Boundary.predict``.

        Raises:
            UserError: something that is no picture, or an ``fdr`` that is no share.
        """
        images = [image_of(one, self.preprocessing) for one in one_or_several(pictures)]
        said = self.verdicts(self.judge(np.stack(images))) if images else []
        if fdr is not None:
            said = verdicts_at_fdr(said, fdr, self.domain_threshold)
        return said[0] if is_one(pictures) else said


def _onnxruntime() -> Any:
    # The official builds from 1.29 on send events about every process and model to their maker,
    # and write an identifier of the machine, unless this is set before the first import.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            "an exported model needs onnxruntime, which is not installed; pip install "
            "'knowbound[onnx-runtime]'"
        ) from error
    return onnxruntime


def read_about(path: Path) -> JsonObject:
    """What the exported model in a file says of itself, after its checksum was compared;
    onnxruntime is not needed.

    Args:
        path: of the file.

    Raises:
        UserError: the file is missing, was changed, or is of another format.
    """
    return _metadata(path, _content(path))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(sentence_for(error, path, "read")) from error


def _calm(onnxruntime: Any) -> Any:
    """Options under which threads that wait do not spin: they would take the cores from whoever
    decodes pictures beside them."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _metadata(path: Path, content: bytes) -> JsonObject:
    """What ``export`` wrote, after the checksum over the whole file was compared."""
    found = SEAL.search(content)
    if found is None:
        raise UserError(f"{path} is no model of knowbound; expected a file that `export` wrote")
    unsealed = content.replace(found.group(1), UNSEALED.encode(), 1)
    if hashlib.sha256(unsealed).hexdigest().encode() != found.group(1):
        raise UserError(
            f"{path} was changed or damaged since it was written (its checksum differs); copy it "
            "again, or export again"
        )
    start = content.rindex(b'{"format": "knowbound-onnx"', 0, found.start())
    about, _ = json.JSONDecoder().raw_decode(content[start:].decode("utf-8", "replace"))
    if about["format_version"] != FORMAT_VERSION:
        raise UserError(
            f"{path} has the format version {about['format_version']}, written by knowbound "
            f"{about.get('knowbound')}; this is knowbound {__version__}, which reads "
            f"{FORMAT_VERSION}: install the version that wrote it"
        )
    return dict(about)
