"""The command line in this process: what it prints and its exit code, without the seconds that a
process of its own takes to import torch."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple
from unittest.mock import patch

from knowbound.cli import main


class Ran(NamedTuple):
    """What a command left."""

    returncode: int
    stdout: str
    stderr: str


def knowbound(*words: object) -> Ran:
    """Run ``knowbound`` with these words, its output in a pipe's stead: no terminal, UTF-8.

    An exception that would be a traceback is raised here.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    code: object = 0
    with (
        patch.object(sys, "argv", ["knowbound", *map(str, words)]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
    assert isinstance(code, int)
    return Ran(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))
