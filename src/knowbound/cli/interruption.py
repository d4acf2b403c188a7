"""Ctrl-C while something is trained."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knowbound.training.loop import Progress


@contextmanager
def stopped_between_steps() -> Iterator[Callable[["Progress"], None]]:
    """A block in which Ctrl-C ends a training after the step under way, so that its state is kept.

    A second Ctrl-C, or one while nothing is trained, ends it at once.  Of several processes each
    ends at once, as none must wait for another.

    Returns:
        What is to be called after every step.
    """
    asked, training = False, False

    def interrupted(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked or not training:
            raise KeyboardInterrupt
        asked = True

    def after_step(step: "Progress") -> None:
        nonlocal training
        training = step.step < step.steps
        if asked:
            raise KeyboardInterrupt

    alone = os.environ.get("WORLD_SIZE", "1") == "1"
    if not alone or threading.current_thread() is not threading.main_thread():
        yield after_step
        return
    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield after_step
    finally:
        signal.signal(signal.SIGINT, before)
