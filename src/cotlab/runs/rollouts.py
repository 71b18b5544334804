"""Tables `rollout`, `rollout_body` and `attempt`: what was sampled, and what was asked for in vain."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, overload

from cotlab.chains.rollout import Rollout
from cotlab.errors import RunError
from cotlab.identity import token_bytes
from cotlab.runs.codecs import pack_logprobs, pack_text, unpack_ids, unpack_logprobs, unpack_text
from cotlab.runs.database import Database
from cotlab.runs.registry import now
from cotlab.runs.rows import Attempt, RolloutRow, SaidRow

__all__ = ["Rollouts", "rollouts_by_key"]

_PAGE = 200
"""Rollouts read at once: long ones have 200 kB each."""

_PUBLIC = (
    "rollout.id, prefix.id, intervention.id, settings.id, engine_card.id, rollout.sample_idx, study.id, "
    "rollout.wave, rollout.seed, rollout.finish_reason, rollout.n_tokens, rollout.provenance, rollout.steered_tokens"
)
_JOINED = (
    "FROM rollout JOIN prefix ON prefix.key = rollout.prefix "
    "JOIN intervention ON intervention.key = rollout.intervention JOIN settings ON settings.key = rollout.settings "
    "JOIN engine_card ON engine_card.key = rollout.engine_card JOIN study ON study.key = rollout.study "
)
_CONDITION = (
    "rollout.intervention = (SELECT key FROM intervention WHERE id = ?) "
    "AND rollout.settings = (SELECT key FROM settings WHERE id = ?) "
    "AND rollout.engine_card = (SELECT key FROM engine_card WHERE id = ?) "
)


class Rollouts:
    """What was sampled. A rollout that is there already is left as it is."""

    _db: Database

    def add_rollouts(self, rollouts: Iterable[Rollout], *, study_id: str, wave: int = 0) -> int:
        """Store rollouts in one transaction; returns how many were new.

        Args:
            rollouts: Of prefixes, interventions, settings and engine cards that are in the run.
            study_id: Study that asked for them.
            wave: Which round of the study asked for them.

        Raises:
            RunError: Something that a rollout points to is not in the run, or the disk is full; nothing is stored.
        """
        with self._db.transaction():
            key = _remembering(self._db)
            study = key("study", study_id)
            return sum(_insert(self._db, rollout, key, study, wave) for rollout in rollouts)

    def add_attempts(self, attempts: Iterable[tuple[str, str, str, str, int, str]], study_id: str) -> None:
        """Store failures: (prefix, intervention, settings, engine card ids, sample_idx, error)."""
        with self._db.transaction():
            study = self._db.key("study", study_id)
            for *request, error in attempts:
                self._db.execute(
                    "INSERT INTO attempt(prefix_id, intervention_id, settings_id, engine_card_id, sample_idx, error, "
                    "study, created) VALUES (?,?,?,?,?,?,?,?)",
                    (*request, pack_text(error), study, now()),
                )

    def attempts(self) -> list[Attempt]:
        """All failures, oldest first."""
        rows = self._db.query(
            "SELECT prefix_id, intervention_id, settings_id, engine_card_id, sample_idx, error, study.id, "
            "attempt.created FROM attempt JOIN study ON study.key = attempt.study ORDER BY attempt.key"
        )
        return [Attempt(*row)._replace(error=unpack_text(row[5])) for row in rows]

    def have(self, prefix_id: str, intervention_id: str, settings_id: str, engine_card_id: str) -> set[int]:
        """Which samples of a condition are there."""
        rows = self._db.query(
            f"SELECT sample_idx FROM rollout WHERE prefix = (SELECT key FROM prefix WHERE id = ?) AND {_CONDITION}",
            (prefix_id, intervention_id, settings_id, engine_card_id),
        )
        return {row[0] for row in rows}

    def counts(
        self, settings_id: str, engine_card_id: str, intervention_id: str, *, below: int | None = None
    ) -> dict[str, int]:
        """How many samples each prefix has; prefixes without any are left out.

        Args:
            settings_id: Of the condition.
            engine_card_id: Of the condition.
            intervention_id: Of the condition.
            below: Count only samples with a smaller index.
        """
        rows = self._db.query(
            "SELECT prefix.id, counted.n FROM (SELECT prefix, count(*) AS n FROM rollout "
            f"WHERE {_CONDITION} AND sample_idx < coalesce(?, sample_idx + 1) GROUP BY prefix) counted "
            "JOIN prefix ON prefix.key = counted.prefix",
            (intervention_id, settings_id, engine_card_id, below),
        )
        return dict(rows)

    def missing(
        self, prefix_ids: Sequence[str], n: int, settings_id: str, engine_card_id: str, intervention_id: str
    ) -> Iterator[tuple[str, int]]:
        """Which of samples 0 … n−1 are not there, in the order of `prefix_ids`."""
        counts = self.counts(settings_id, engine_card_id, intervention_id, below=n)
        for prefix_id in prefix_ids:
            count = counts.get(prefix_id, 0)
            if count == n:
                continue
            have = self.have(prefix_id, intervention_id, settings_id, engine_card_id) if count else set[int]()
            yield from ((prefix_id, sample_idx) for sample_idx in range(n) if sample_idx not in have)

    @overload
    def rollouts(
        self,
        *,
        prefix_id: str | None = None,
        problem_id: str | None = None,
        intervention_id: str | None = None,
        bodies: Literal[True] = True,
    ) -> Iterator[Rollout]: ...
    @overload
    def rollouts(
        self,
        *,
        prefix_id: str | None = None,
        problem_id: str | None = None,
        intervention_id: str | None = None,
        bodies: Literal[False],
    ) -> Iterator[RolloutRow]: ...
    def rollouts(
        self,
        *,
        prefix_id: str | None = None,
        problem_id: str | None = None,
        intervention_id: str | None = None,
        bodies: bool = True,
    ) -> Iterator[Rollout] | Iterator[RolloutRow]:
        """Stream the rollouts that were there when iteration began, in the order in which they were stored.

        Args:
            prefix_id: Only from this prefix.
            problem_id: Only of this problem.
            intervention_id: Only under this intervention.
            bodies: Whole rollouts; else thin rows, without text, tokens and log probabilities.
        """
        keys = self._keys(prefix_id, problem_id, intervention_id)
        return rollouts_by_key(self._db, keys) if bodies else _thin_by_key(self._db, keys)

    def said(
        self, prefix_id: str, intervention_id: str, settings_id: str, engine_card_id: str, *, below: int
    ) -> Iterator[SaidRow]:
        """Stream what the samples of a condition said, in the order in which they were stored.

        A third of the time that `rollouts` takes: nothing is joined, no id is computed.

        Args:
            prefix_id: Where they begin.
            intervention_id: Of the condition.
            settings_id: Of the condition.
            engine_card_id: Of the condition.
            below: Only samples with a smaller index.

        Raises:
            RunError: One has lost its body.
        """
        sql = (
            "SELECT rollout.key, rollout.id, rollout.sample_idx, rollout.provenance, body.text, body.token_ids "
            "FROM rollout LEFT JOIN rollout_body body ON body.rollout = rollout.key "
            f"WHERE rollout.prefix = (SELECT key FROM prefix WHERE id = ?) AND {_CONDITION}"
            "AND rollout.sample_idx < ? AND rollout.key > ? ORDER BY rollout.key LIMIT ?"
        )
        last = 0
        while page := self._db.query(
            sql, (prefix_id, intervention_id, settings_id, engine_card_id, below, last, _PAGE)
        ):
            last = page[-1][0]
            for _, rollout_id, sample_idx, provenance, text, ids in page:
                if text is None:
                    raise RunError(_no_body(self._db, rollout_id))
                token_ids = None if ids is None else unpack_ids(ids)
                yield SaidRow(rollout_id, sample_idx, unpack_text(text), token_ids, provenance)

    def condition_counts(
        self, prefix_ids: Iterable[str], intervention_id: str, *, without: Iterable[str] = ()
    ) -> dict[tuple[str, str], int]:
        """How many rollouts each pair of settings and engine card has; the pair that was sampled last comes last.

        Args:
            prefix_ids: Of rollouts begun at these.
            intervention_id: Under this.
            without: Rollouts that are not counted; pasted transcripts never are.
        """
        rows = self._db.query(
            "SELECT settings.id, engine_card.id, count(*), max(rollout.key) FROM rollout "
            "JOIN settings ON settings.key = rollout.settings "
            "JOIN engine_card ON engine_card.key = rollout.engine_card "
            "WHERE rollout.prefix IN (SELECT key FROM prefix WHERE id IN (SELECT value FROM json_each(?))) "
            "AND rollout.intervention = (SELECT key FROM intervention WHERE id = ?) "
            "AND rollout.id NOT IN (SELECT value FROM json_each(?)) AND rollout.provenance NOT LIKE 'given%' "
            "GROUP BY rollout.settings, rollout.engine_card ORDER BY max(rollout.key)",
            (json.dumps(list(prefix_ids)), intervention_id, json.dumps(list(without))),
        )
        return {(settings, card): n for settings, card, n, _ in rows}

    def newest_rollouts(self, n: int) -> list[str]:
        """Ids of the rollouts that were stored last, newest first."""
        return [row[0] for row in self._db.query("SELECT id FROM rollout ORDER BY key DESC LIMIT ?", (n,))]

    def rollout(self, rollout_id: str) -> Rollout:
        """One rollout.

        Raises:
            RunError: It is not in the run.
        """
        return next(rollouts_by_key(self._db, [self._db.key("rollout", rollout_id)]))

    def _keys(self, prefix_id: str | None, problem_id: str | None, intervention_id: str | None) -> array[int]:
        asked = {
            "prefix = (SELECT key FROM prefix WHERE id = ?)": prefix_id,
            "prefix IN (SELECT p.key FROM prefix p JOIN problem q ON q.key = p.problem WHERE q.id = ?)": problem_id,
            "intervention = (SELECT key FROM intervention WHERE id = ?)": intervention_id,
        }
        wanted = {condition: value for condition, value in asked.items() if value is not None}
        where = " AND ".join(wanted) or "1"
        rows = self._db.query(f"SELECT key FROM rollout WHERE {where} ORDER BY key", wanted.values())
        return array("q", (row[0] for row in rows))


def rollouts_by_key(db: Database, keys: Sequence[int]) -> Iterator[Rollout]:
    """Stream whole rollouts, in the order of the keys (ascending)."""
    sql = (
        f"SELECT {_PUBLIC}, body.text, body.token_ids, body.logprobs {_JOINED}"
        "LEFT JOIN rollout_body body ON body.rollout = rollout.key "
        "WHERE rollout.key IN (SELECT value FROM json_each(?)) ORDER BY rollout.key"
    )
    for start in range(0, len(keys), _PAGE):
        for row in db.query(sql, (json.dumps(list(keys[start : start + _PAGE])),)):
            *thin, text, token_ids, logprobs = row
            yield _rollout(db, RolloutRow(*thin), text, token_ids, logprobs)


def _thin_by_key(db: Database, keys: Sequence[int]) -> Iterator[RolloutRow]:
    sql = f"SELECT {_PUBLIC} {_JOINED}WHERE rollout.key IN (SELECT value FROM json_each(?)) ORDER BY rollout.key"
    for start in range(0, len(keys), 10 * _PAGE):
        for row in db.query(sql, (json.dumps(list(keys[start : start + 10 * _PAGE])),)):
            yield RolloutRow(*row)


def _rollout(
    db: Database, row: RolloutRow, text: str | bytes | None, token_ids: bytes | None, logprobs: bytes | None
) -> Rollout:
    if text is None:
        raise RunError(_no_body(db, row.id))
    return Rollout(
        prefix_id=row.prefix_id,
        intervention_id=row.intervention_id,
        settings_id=row.settings_id,
        engine_card_id=row.engine_card_id,
        sample_idx=row.sample_idx,
        seed=row.seed,
        text=unpack_text(text),
        finish_reason=row.finish_reason,  # type: ignore[arg-type]  # the column holds nothing else
        token_ids=None if token_ids is None else unpack_ids(token_ids),
        logprobs=None if logprobs is None else unpack_logprobs(logprobs),
        provenance=row.provenance,
        steered_tokens=row.steered_tokens,
    )


def _no_body(db: Database, rollout_id: str) -> str:
    return f"rollout {rollout_id} has no body: `cotlab runs verify {db.folder}` says what else is lost"


def _remembering(db: Database) -> Callable[[str, str], int]:
    """`Database.key` that asks once for each id, as long as a transaction lasts."""
    known: dict[tuple[str, str], int] = {}

    def key(table: str, public_id: str) -> int:
        found = known.get((table, public_id))
        if found is None:
            found = known[table, public_id] = db.key(table, public_id)
        return found

    return key


def _insert(db: Database, rollout: Rollout, key: Callable[[str, str], int], study: int, wave: int) -> bool:
    cursor = db.execute(
        "INSERT INTO rollout(id, prefix, intervention, settings, engine_card, sample_idx, study, wave, seed, "
        "finish_reason, n_tokens, provenance, steered_tokens) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?) "
        "ON CONFLICT(id) DO NOTHING",
        (
            rollout.id,
            key("prefix", rollout.prefix_id),
            key("intervention", rollout.intervention_id),
            key("settings", rollout.settings_id),
            key("engine_card", rollout.engine_card_id),
            rollout.sample_idx,
            study,
            wave,
            rollout.seed,
            rollout.finish_reason,
            rollout.n_tokens,
            rollout.provenance,
            rollout.steered_tokens,
        ),
    )
    if not cursor.rowcount:
        return False
    db.execute(
        "INSERT INTO rollout_body(rollout, text, token_ids, logprobs) VALUES (?,?,?,?)",
        (
            cursor.lastrowid,
            pack_text(rollout.text),
            None if rollout.token_ids is None else token_bytes(rollout.token_ids),
            None if rollout.logprobs is None else pack_logprobs(rollout.logprobs),
        ),
    )
    return True
