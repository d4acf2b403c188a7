"""Help in which an option that takes no value shows none."""

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
