"""Options that several commands have, declared once: as the parameters of a function that says what they amount to."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

__all__ = ["taking"]


def taking(
    shared: Callable[..., Any], into: str = "asked", **defaults: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options of a function in the place of one of its parameters, which gets what that returns.

    What is decorated so may itself be shared by commands.

    Args:
        shared: Its parameters are options, as typer reads them.
        into: The parameter of the command.
        defaults: Values of options that are not given, where the command has others.
    """
    options = [
        one.replace(default=defaults.get(one.name, one.default))
        for one in inspect.signature(shared, eval_str=True).parameters.values()
    ]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(command, eval_str=True)

        @wraps(command)
        def called(**given: Any) -> Any:
            made = shared(**{one.name: given.pop(one.name) for one in options})
            return command(**{into: made}, **given)

        parameters = [new for one in own.parameters.values() for new in (options if one.name == into else [one])]
        # Typer reads both; keyword-only, as what has a default may stand before what has none.
        keywords = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
        called.__signature__ = own.replace(parameters=keywords)  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in parameters}
        return called

    return decorate
