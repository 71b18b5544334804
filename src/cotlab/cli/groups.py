"""A group of commands one of which goes without its name."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

__all__ = ["group_with_default"]


def group_with_default(default: str, told: str) -> typer.Typer:
    """A group in which what does not begin with a command's name is for one of its commands.

    Args:
        default: Name of that command.
        told: What the group's help says.
    """

    class Group(TyperGroup):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
                args = [default, *args]
            return super().parse_args(ctx, args)

    return typer.Typer(cls=Group, help=told, no_args_is_help=True, rich_markup_mode=None)
