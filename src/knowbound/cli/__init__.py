"""The command line: ``main`` is what ``knowbound`` and ``python -m knowbound`` run."""

from knowbound.cli.app import app, main

__all__ = ["app", "main"]
