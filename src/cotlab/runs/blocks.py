"""Table `asked`: how many rollouts of a condition belong together.

Engines finish short rollouts first. What an interrupted draw has stored therefore favours them, and only samples
0 … n−1 for an n that was asked for, all of them there, are draws from the model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from cotlab.runs.database import Database

__all__ = ["Blocks"]


class Blocks:
    """Blocks of samples that were asked for. Asking again for what was asked changes nothing."""

    _db: Database

    def ask(
        self, prefix_ids: Iterable[str], n: int, settings_id: str, engine_card_id: str, intervention_id: str
    ) -> None:
        """Record that samples 0 … n−1 from each of these prefixes are drawn as one block.

        Args:
            prefix_ids: Where from.
            n: Size of the block.
            settings_id: Of the condition.
            engine_card_id: Of the condition.
            intervention_id: Of the condition.

        Raises:
            RunError: One of them is not in the run.
        """
        with self._db.transaction():
            condition = (
                self._db.key("intervention", intervention_id),
                self._db.key("settings", settings_id),
                self._db.key("engine_card", engine_card_id),
            )
            for prefix_id in prefix_ids:
                self._db.execute(
                    "INSERT INTO asked(prefix, intervention, settings, engine_card, n) VALUES (?,?,?,?,?) "
                    "ON CONFLICT DO NOTHING",
                    (self._db.key("prefix", prefix_id), *condition, n),
                )

    def asked(self, settings_id: str, engine_card_id: str, intervention_id: str) -> dict[str, list[int]]:
        """Sizes of the blocks asked for by prefix, ascending; prefixes that nobody asked for are left out."""
        rows = self._db.query(
            "SELECT prefix.id, asked.n FROM asked JOIN prefix ON prefix.key = asked.prefix "
            "WHERE asked.intervention = (SELECT key FROM intervention WHERE id = ?) "
            "AND asked.settings = (SELECT key FROM settings WHERE id = ?) "
            "AND asked.engine_card = (SELECT key FROM engine_card WHERE id = ?) ORDER BY asked.n",
            (intervention_id, settings_id, engine_card_id),
        )
        found: dict[str, list[int]] = defaultdict(list)
        for prefix_id, n in rows:
            found[prefix_id].append(n)
        return dict(found)
