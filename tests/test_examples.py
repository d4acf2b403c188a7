"""The examples run and do what they say."""

import runpy
from pathlib import Path


def test_own_training_loop_keeps_new_digits_apart() -> None:
    example = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "own_training_loop.py"))
    assert example["main"](steps=60) > 0.9
