"""Ctrl-C ends a training between two steps, and everything else at once."""

import os
import signal
from collections.abc import Iterator

import pytest

from knowbound.cli.interruption import stopped_between_steps
from knowbound.training.loop import Progress


@pytest.fixture(autouse=True)
def usual_ctrl_c() -> Iterator[None]:
    """As in a terminal: what runs in the background may have started with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def run(done: list[str], *, first: int | None, times: int = 1) -> None:
    """A block in which ``first`` of ten steps is done, Ctrl-C is pressed, and a step follows."""
    with stopped_between_steps() as after_step:
        if first is not None:
            after_step(Progress(first, 10, 0.0, 0.0))
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
        done.append("the rest of the step")
        after_step(Progress((first or 0) + 1, 10, 0.0, 0.0))
        done.append("another step")


def test_within_a_training_the_step_under_way_is_finished() -> None:
    before, done = signal.getsignal(signal.SIGINT), list[str]()
    with pytest.raises(KeyboardInterrupt):
        run(done, first=1)
    assert done == ["the rest of the step"]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("first", [None, 10])
def test_before_and_after_a_training_it_ends_at_once(first: int | None) -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run(done, first=first)
    assert done == []


def test_a_second_one_ends_at_once() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run(done, first=1, times=2)
    assert done == []


def test_of_several_processes_each_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run(done, first=1)
    assert done == []
