"""Commands whose help shows no value for an option that takes none, and which end quietly where
nobody reads their output any more."""

import os
import sys
from typing import Any

from typer.core import TyperCommand, TyperGroup


class Command(TyperCommand):
    """A command; its flags have no type in the help, where typer writes ``<bool>``."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Arguments and options, that of the help last.

        Args:
            ctx: of the call.
        """
        return _without_type(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a reader of its output that has seen enough, such as `head`, is no
        failure.

        Args:
            ctx: of the call.
        """
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return None
        return result


class Group(TyperGroup):
    """Commands under one name, with flags as those of a ``Command``."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The options before the command.

        Args:
            ctx: of the call.
        """
        return _without_type(super().get_params(ctx))


def _without_type(params: list[Any]) -> list[Any]:
    for param in params:
        if param.param_type_name == "option" and param.is_flag:
            param.metavar = ""
    return params
