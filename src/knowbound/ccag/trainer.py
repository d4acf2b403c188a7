"""CC-AG with the arguments of ``training.train``, so that a table can name it as its trainer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from knowbound.backbones import Backbone
from knowbound.ccag.settings import CcagTraining
from knowbound.ccag.training import CcagProgress, train_ccag
from knowbound.data.source import Source
from knowbound.objectives.objective import Objective
from knowbound.training import Trained, Training
from knowbound.training.loop import Progress
from knowbound.training.pace import Pace
from knowbound.values import JsonObject


class Logits(nn.Module):
    """The class head of a network as a network of its own: images -> logits (N, C)."""

    def __init__(self, network: Backbone) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """The logits of the classes.

        Args:
            images: (N, C, H, W) in [0, 1].

        Returns:
            (N, C).
        """
        logits: Tensor = self.network(images).get("logits")
        return logits


@dataclass(frozen=True, eq=False)
class CcagTrainer:
    """``train_ccag`` in the place of ``training.train``.

    settings: of CC-AG; they take the place of the objective and the training; keep_sheets: called
    at the end with what the generator made, (64, 3, 32, 32) uint8 by steps done.
    """

    settings: CcagTraining
    keep_sheets: Callable[[Mapping[int, NDArray[np.uint8]]], None]

    def __call__(
        self,
        backbone: Backbone,
        source: Source,
        outs: Sequence[Source],
        objective: Objective,
        training: Training,
        *,
        checkpoint: Path | None = None,
        resume: bool = False,
        identity: JsonObject | None = None,
        on_step: Callable[[Progress], None] | None = None,
    ) -> Trained:
        """Train the backbone in place; no out-of-distribution image but the generator's is seen."""
        del outs, objective, training

        def report(progress: CcagProgress) -> None:
            if on_step:
                on_step(
                    Progress(
                        step=progress.step,
                        steps=progress.steps,
                        loss=progress.loss,
                        images_per_second=progress.images_per_second,
                    )
                )

        trained = train_ccag(
            Logits(backbone),
            source,
            self.settings,
            checkpoint=checkpoint,
            resume=resume,
            identity=identity,
            on_step=report,
        )
        self.keep_sheets(trained.sheets)
        return Trained(
            seconds=trained.seconds,
            images=trained.images,
            loss=trained.loss,
            pace=Pace(channels_last=False),
            hardware=trained.hardware,
        )
