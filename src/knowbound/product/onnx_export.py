"""A boundary -> one ONNX file that says the same, or a refusal."""

import json
import logging
import math
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from knowbound.boundary import Boundary
from knowbound.data.outs.anomalies import anomaly_images
from knowbound.errors import UserError
from knowbound.files import replace_file
from knowbound.files.ending import check_ending
from knowbound.files.own_output import check_overwrite
from knowbound.judgement import Judgement
from knowbound.product.int8_weights import round_weights
from knowbound.product.onnx_model import (
    FORMAT,
    FORMAT_VERSION,
    KEY,
    OUTPUTS,
    UNSEALED,
    ExportedModel,
    seal,
)
from knowbound.values import JsonObject

TOLERANCE = 1e-4
"""Relative difference of scores that is let pass."""
MOST_CHANGED = 0.05
"""Share of pictures that a model with weights of int8 may answer otherwise."""
TRIED = 256
"""Images that both are asked about where none are given."""
OPSET = 20


def export(
    boundary: Boundary,
    path: Path,
    *,
    images: NDArray[np.uint8] | None = None,
    overwrite: bool = False,
) -> int:
    """Write a boundary as an ONNX file, and how many images both agree on.

    The graph takes images (N, C, H, W), uint8, N of any size, and gives the fields of a
    ``Judgement``.  How a picture becomes such an image is in the metadata: Pillow's resizing has no
    exact counterpart in ONNX.

    Args:
        boundary: a calibrated one, on the CPU.
        path: of the file, ending in ``.onnx``.
        images: (N, C, H, W) to compare on, beside noise and pieces of photographs.
        overwrite: whether a file that this program did not make may be replaced.

    Raises:
        UserError: a detector that needs gradients, another number format, the packages are missing, the path cannot be
            written, or the exported model says something else of an image.
    """
    _check(boundary, path, overwrite)
    tried = _tried(boundary, images)

    def make() -> bytes:
        content = _sealed(boundary, _graph(boundary), {})
        _compare(boundary, ExportedModel.from_bytes(content, path), tried)
        return content

    replace_file(path, _made(boundary, make))
    return len(tried)


@dataclass(frozen=True)
class Int8Cost:
    """What weights of one byte cost, measured on pictures.

    Args:
        images: how many.
        same: of these the share with the same answer: decision, and class where known.
        accepted: share accepted by the boundary.
        accepted_int8: by the exported model.
        right: share accepted as their own class by the boundary; None where no class is known.
        right_int8: by the exported model.
    """

    images: int
    same: float
    accepted: float
    accepted_int8: float
    right: float | None = None
    right_int8: float | None = None


def export_int8(
    boundary: Boundary,
    path: Path,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64] | None = None,
    *,
    overwrite: bool = False,
) -> Int8Cost:
    """Write a boundary as an ONNX file whose network has weights of one byte, and measure the cost.

    Thresholds and detector are those of the boundary.  The cost is kept in the metadata, too.

    Args:
        boundary: a calibrated one, on the CPU.
        path: of the file, ending in ``.onnx``.
        images: (N, C, H, W) to measure it on, pictures of the kind that will be judged.
        labels: (N,) their classes 0..C-1, below 0 where there is none; None: none is known.
        overwrite: whether a file that this program did not make may be replaced.

    Returns:
        The cost.

    Raises:
        UserError: as ``export``, or over ``MOST_CHANGED`` of the images are answered otherwise.
    """
    _check(boundary, path, overwrite)
    if not len(images):
        raise UserError("the cost of int8 is measured on pictures; give some with --check")
    ours = boundary.judge(images)
    cost: list[Int8Cost] = []

    def make() -> bytes:
        graph = _graph(boundary, int8=True)
        plain = type(graph)()
        plain.CopyFrom(graph)
        trial = ExportedModel.from_bytes(_sealed(boundary, plain, {}), path)
        cost.append(_cost(ours, trial.judge(images), labels))
        return _sealed(boundary, graph, {"int8": asdict(cost[0])})

    content = _made(boundary, make)
    if cost[0].same < 1 - MOST_CHANGED:
        raise UserError(
            f"with weights of int8 the model answers otherwise on {1 - cost[0].same:.1%} of "
            f"{len(images):,} pictures, over {MOST_CHANGED:.0%}, so it was not written; export "
            "without --int8"
        )
    replace_file(path, content)
    return cost[0]


def _cost(
    ours: Judgement[Any], theirs: Judgement[Any], labels: NDArray[np.int64] | None
) -> Int8Cost:
    answers = [np.where(one.decision == 0, one.nearest, -one.decision) for one in (ours, theirs)]
    accepted = [float(np.mean(one >= 0)) for one in answers]
    same = float(np.mean(answers[0] == answers[1]))
    if labels is None or not (labels >= 0).any():
        return Int8Cost(len(answers[0]), same, *accepted)
    known = labels >= 0
    right = [float(np.mean(one[known] == labels[known])) for one in answers]
    return Int8Cost(len(answers[0]), same, *accepted, *right)


def _check(boundary: Boundary, path: Path, overwrite: bool) -> None:
    """Raises UserError where the boundary cannot be exported there."""
    boundary.check_calibrated()
    check_ending(path, (".onnx",))
    if boundary.detector.moves_images:
        raise UserError(
            f"{type(boundary.detector).__name__} moves images by a gradient of the network, which "
            "an exported model cannot compute; fit with another --detector"
        )
    if boundary.judging != "float32":
        raise UserError(
            f"the model judges in {boundary.judging} and an exported one in float32, with other "
            "scores; fit with --judging float32"
        )
    check_overwrite(path, overwrite)


def _made(boundary: Boundary, make: Callable[[], bytes]) -> bytes:
    """The content of the file, or a sentence why there is none."""
    try:
        return make()
    except UserError:
        raise
    except Exception as error:  # torch and onnxruntime raise classes of their own
        raise UserError(
            f"{type(boundary.detector).__name__} on {type(boundary.backbone).__name__} cannot be "
            f"exported ({str(error).splitlines()[0]}); fit with another --detector, such as "
            "nearest_centre"
        ) from error


class _Judging(nn.Module):
    """Images, uint8 -> the fields of a ``Judgement``."""

    def __init__(self, boundary: Boundary) -> None:
        super().__init__()
        self.boundary = boundary

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, C, H, W) uint8 -> as ``Boundary.forward`` gives it."""
        return tuple(self.boundary(images.float() * (1 / 255)))


def _graph(boundary: Boundary, *, int8: bool = False) -> Any:
    try:
        import onnx
        import onnxscript
    except ImportError as error:
        raise UserError(
            "an export needs onnx and onnxscript, which are not installed; pip install "
            "'knowbound[onnx]'"
        ) from error

    op: Any = onnxscript.opset20

    def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: Any = None) -> Any:
        """Euclidean distances (N, C), by differences: products lose the small ones."""
        del p, compute_mode
        difference = op.Sub(
            op.Unsqueeze(x1, op.Constant(value_ints=[1])),
            op.Unsqueeze(x2, op.Constant(value_ints=[0])),
        )
        return op.ReduceL2(difference, op.Constant(value_ints=[2]), keepdims=0)

    wanted = boundary.preprocessing
    example = torch.zeros(2, wanted.channels, wanted.height, wanted.width, dtype=torch.uint8)
    network = _Judging(boundary.eval())
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (example,),
            None,
            input_names=["images"],
            output_names=list(OUTPUTS),
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes={"images": {0: torch.export.Dim("images")}},
            custom_translation_table={torch.ops.aten._cdist_forward.default: cdist},
            verbose=False,
        )
    if program is None:
        raise UserError("torch gave no graph of this network; take another --backbone")
    model = program.model_proto
    if int8:
        round_weights(model, onnx, boundary.backbone)
    onnx.checker.check_model(model)
    return model


def _sealed(boundary: Boundary, model: Any, more: JsonObject) -> bytes:
    about = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "sha256": UNSEALED,
        "thresholds": boundary.threshold.threshold_of(
            torch.arange(len(boundary.class_names))
        ).tolist(),
        "domain_threshold": boundary.domain_threshold,
        **boundary.describe(),
        **more,
    }
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(about)
    return seal(model.SerializeToString())


def _tried(boundary: Boundary, given: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """The images to compare on: those given, and noise and pieces of photographs."""
    wanted = boundary.preprocessing
    shape = (wanted.channels, wanted.height, wanted.width)
    made = anomaly_images(shape, TRIED, np.random.default_rng(0)).images(slice(None))
    return made if given is None else np.concatenate([given, made])


def _compare(boundary: Boundary, exported: ExportedModel, images: NDArray[np.uint8]) -> None:
    ours, theirs = boundary.judge(images), exported.judge(images)
    other = np.flatnonzero((ours.decision != theirs.decision) | (ours.nearest != theirs.nearest))
    if len(other):
        raise UserError(
            f"the exported model decides otherwise on {len(other)} of {len(images)} images, so it "
            "was not written; fit with --precision float32, or take another detector"
        )
    for name in ("score", "domain_score"):
        _check_close(name, ours, theirs)


def _check_close(name: str, ours: Judgement[Any], theirs: Judgement[Any]) -> None:
    field = Judgement._fields.index(name)
    mine, its = np.asarray(ours[field]), np.asarray(theirs[field])
    scale = np.maximum(np.abs(mine), np.abs(mine).mean())
    apart = np.abs(mine - its)
    unequal = np.where(apart == 0, 0.0, math.inf)  # where all scores are 0, any difference counts
    worst = float(np.max(np.divide(apart, scale, out=unequal, where=scale > 0), initial=0.0))
    if not worst <= TOLERANCE:
        raise UserError(
            f"the exported model's {name} differs by {worst:.1e} of its size, over {TOLERANCE:.0e}, "
            "so it was not written; take another detector"
        )
