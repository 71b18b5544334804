"""Tables `capture` and `activation`: which activations are there, and in which files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from cotlab.identity import content_id, token_bytes
from cotlab.runs.codecs import pack_json, unpack_content, unpack_ids
from cotlab.runs.database import Database

__all__ = ["ActivationRow", "Captures"]


class ActivationRow(NamedTuple):
    """Where the activations of one rollout at one hook point are."""

    rollout_id: str
    hook: str
    shard: str
    """File in the run folder; its tensor `activations` has shape (rows, width)."""
    first: int
    """Row where they begin."""
    places: tuple[int, ...]
    """Token of each row, counted from the start of the response."""


class Captures:
    """Activations that were asked for. Asking again for the same is the same capture."""

    _db: Database

    def add_capture(self, spec: dict[str, Any]) -> str:
        """Store what is asked; its id."""
        capture_id = content_id("capture", spec)
        with self._db.transaction():
            self._db.execute(
                "INSERT INTO capture(id, spec) VALUES (?,?) ON CONFLICT(id) DO NOTHING", (capture_id, pack_json(spec))
            )
        return capture_id

    def captures(self) -> dict[str, dict[str, Any]]:
        """What was asked, by id."""
        rows = self._db.query("SELECT id, spec FROM capture ORDER BY key")
        return {key: unpack_content("capture", key, spec) for key, spec in rows}

    def captured(self, capture_id: str) -> set[str]:
        """Rollouts whose activations are there, at all hook points of the capture."""
        rows = self._db.query(
            "SELECT DISTINCT rollout.id FROM activation JOIN rollout ON rollout.key = activation.rollout "
            "WHERE activation.capture = (SELECT key FROM capture WHERE id = ?)",
            (capture_id,),
        )
        return {row[0] for row in rows}

    def stored(self, rollout_ids: Iterable[str]) -> set[str]:
        """Those of some rollouts that the run holds."""
        found = set[str]()
        for rollout_id in rollout_ids:
            found.update(row[0] for row in self._db.query("SELECT id FROM rollout WHERE id = ?", (rollout_id,)))
        return found

    def n_shards(self, capture_id: str) -> int:
        """Files that each hook point has."""
        ((n,),) = self._db.query(
            "SELECT count(DISTINCT shard) FROM activation WHERE capture = (SELECT key FROM capture WHERE id = ?) "
            "AND hook = (SELECT min(hook) FROM activation WHERE capture = (SELECT key FROM capture WHERE id = ?))",
            (capture_id, capture_id),
        )
        return int(n)

    def add_activations(self, capture_id: str, rows: Iterable[ActivationRow]) -> None:
        """Index files that are written, all of a shard in one transaction.

        Raises:
            RunError: The capture or a rollout is not in the run.
        """
        with self._db.transaction():
            capture = self._db.key("capture", capture_id)
            for row in rows:
                rollout = self._db.key("rollout", row.rollout_id)
                self._db.execute(
                    "INSERT INTO activation(capture, rollout, hook, shard, first, n, places) VALUES (?,?,?,?,?,?,?)",
                    (capture, rollout, row.hook, row.shard, row.first, len(row.places), token_bytes(row.places)),
                )

    def activation_rows(self, capture_id: str, hook: str) -> Iterator[ActivationRow]:
        """Where the activations of a capture at one hook point are, file by file."""
        for rollout, shard, first, places in self._db.query(
            "SELECT rollout.id, shard, first, places FROM activation JOIN rollout ON rollout.key = activation.rollout "
            "WHERE capture = (SELECT key FROM capture WHERE id = ?) AND hook = ? ORDER BY activation.key",
            (capture_id, hook),
        ):
            yield ActivationRow(rollout, hook, shard, first, unpack_ids(places))
