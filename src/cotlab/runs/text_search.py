"""Searching what all rollouts of a run say."""

from __future__ import annotations

import string

from cotlab.errors import UserError
from cotlab.runs.codecs import pack_text, unpack_text
from cotlab.runs.database import Database
from cotlab.runs.rows import FoundRow

__all__ = ["TextSearch"]

AROUND = 90
"""Characters told on either side of what was found."""
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class TextSearch:
    """Words in rollouts."""

    _db: Database

    def find_text(self, text: str, *, most: int = 50) -> tuple[list[FoundRow], int]:
        """Rollouts that say something, in the order in which they were stored, edited and steered ones included.

        SQLite looks through all bodies; only those that are told are read. Capital letters A to Z are as small ones.

        Args:
            text: What they say, somewhere; once is enough.
            most: How many of them are told.

        Returns:
            The first of them, and how many there are.

        Raises:
            UserError: The text is blank.
        """
        wanted = text.translate(_LOWER)
        if not wanted.strip():
            raise UserError("there is nothing to search for: the text is empty")
        keys = self._db.query(
            "SELECT rollout FROM rollout_body WHERE instr(lower(text), ?) > 0 ORDER BY rollout", (pack_text(wanted),)
        )
        return [self._found(key, wanted) for (key,) in keys[:most]], len(keys)

    def _found(self, key: int, wanted: str) -> FoundRow:
        """The first place where a rollout says it."""
        (row,) = self._db.query(
            "SELECT rollout.id, problem.id, prefix.id, intervention.id, rollout.sample_idx, body.text FROM rollout "
            "JOIN prefix ON prefix.key = rollout.prefix JOIN problem ON problem.key = prefix.problem "
            "JOIN intervention ON intervention.key = rollout.intervention "
            "JOIN rollout_body body ON body.rollout = rollout.key WHERE rollout.key = ?",
            (key,),
        )
        said = unpack_text(row[5])
        at = said.translate(_LOWER).find(wanted)
        end = at + len(wanted)
        around = said[max(0, at - AROUND) : at], said[at:end], said[end : end + AROUND]
        return FoundRow(row[0], row[1], row[2], row[3], row[4], at, *around)
