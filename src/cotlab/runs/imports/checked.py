"""Fields of foreign JSON, checked one by one; a wrong one is a line that names the file, the field and what it is."""

from __future__ import annotations

from typing import Any

from cotlab.errors import DataError

__all__ = ["Fields", "items"]

_NAMES = {"dict": "an object", "list": "a list", "str": "text", "NoneType": "null", "bool": "true or false"}


def _kind(value: object) -> str:
    return _NAMES.get(type(value).__name__, type(value).__name__)


class Fields:
    """An object of foreign JSON."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise DataError(f"{where} is {_kind(value)}, expected an object")
        self.values: dict[str, Any] = value
        self.where = where

    def text(self, name: str, default: str | None = None) -> str:
        """A text; `default` where it is missing or null."""
        value = self._get(name, default)
        return value if isinstance(value, str) else self._wrong(name, value, "text")

    def number(self, name: str) -> float | None:
        """A number; None where it is missing or null."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        return float(self._wrong(name, value, "a number"))

    def integer(self, name: str) -> int:
        """A whole number of 0 or more."""
        value = self._get(name, None)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        return int(self._wrong(name, value, "a whole number of 0 or more"))

    def flag(self, name: str) -> bool | None:
        """True, false, or None where it is missing or null."""
        value = self.values.get(name)
        return value if value is None or isinstance(value, bool) else bool(self._wrong(name, value, "true or false"))

    def texts(self, name: str) -> list[str]:
        """A list of texts; empty where it is missing."""
        value = self.values.get(name)
        found = items(value if value is not None else [], f"{self.where}, field {name!r}")
        for one in found:
            if not isinstance(one, str):
                self._wrong(name, one, "a list of texts")
        return found

    def _get(self, name: str, default: object) -> object:
        value = self.values.get(name)
        if value is None:
            if default is None:
                raise DataError(f"{self.where} has no field {name!r}")
            return default
        return value

    def _wrong(self, name: str, value: object, expected: str) -> Any:
        raise DataError(f"{self.where}, field {name!r} is {_kind(value)} {str(value)[:40]!r}, expected {expected}")


def items(value: object, where: str) -> list[Any]:
    """A list.

    Raises:
        DataError: It is something else.
    """
    if not isinstance(value, list):
        raise DataError(f"{where} is {_kind(value)}, expected a list")
    return value
