"""Tables `scorer` and `score`: verdicts."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

from cotlab.chains.rollout import Rollout
from cotlab.chains.score import Score, SubjectKind
from cotlab.errors import RunError
from cotlab.runs.codecs import pack_json, unpack_json
from cotlab.runs.database import Database
from cotlab.runs.rollouts import rollouts_by_key
from cotlab.runs.rows import OutcomeRow

__all__ = ["FORMER", "Scores"]

FORMER = "former:"
"""What the ids of scorers begin with whose verdicts were by a gold answer that has been mended since."""

_PAGE = 5000
_SUBJECTS: dict[SubjectKind, tuple[str, str]] = {
    "rollout": ("JOIN rollout ON rollout.key = score.subject", "rollout.id"),
    "prefix": ("JOIN prefix ON prefix.key = score.subject", "prefix.id"),
    "step": (
        "JOIN step ON step.key = score.subject JOIN chain ON chain.key = step.chain",
        "chain.id || '/' || step.idx",
    ),
}


class Scores:
    """Verdicts. One that a scorer gives again replaces its former one."""

    _db: Database

    def add_scores(self, scores: Iterable[Score]) -> None:
        """Store verdicts in one transaction.

        Raises:
            RunError: A subject is not in the run; nothing is stored.
        """
        with self._db.transaction():
            scorers: dict[str, int] = {}
            for score in scores:
                if score.scorer_id not in scorers:
                    self._db.execute("INSERT INTO scorer(id) VALUES (?) ON CONFLICT(id) DO NOTHING", (score.scorer_id,))
                    scorers[score.scorer_id] = self._db.key("scorer", score.scorer_id)
                self._db.execute(
                    "INSERT INTO score(scorer, subject_kind, subject, value) VALUES (?,?,?,?) "
                    "ON CONFLICT(scorer, subject_kind, subject) DO UPDATE SET value = excluded.value",
                    (scorers[score.scorer_id], score.subject_kind, self._subject(score), pack_json(score.value)),
                )

    def scores(self, subject_kind: SubjectKind, scorer_id: str | None = None) -> Iterator[Score]:
        """Stream verdicts on one kind of subject, of all scorers or of one."""
        joins, public_id = _SUBJECTS[subject_kind]
        sql = (
            f"SELECT score.subject, {public_id}, score.value FROM score {joins} "
            "WHERE score.scorer = ? AND score.subject_kind = ? AND score.subject > ? ORDER BY score.subject LIMIT ?"
        )
        for name in self.scorers() if scorer_id is None else [scorer_id]:
            if name not in self.scorers():
                continue
            scorer, last = self._db.key("scorer", name), 0
            while page := self._db.query(sql, (scorer, subject_kind, last, _PAGE)):
                last = self._db.forward(last, page[-1][0])
                for _, subject_id, value in page:
                    yield Score(subject_kind, subject_id, name, unpack_json(value))

    def scorers(self) -> list[str]:
        """Ids of the scorers that gave verdicts, the latest last; those by former gold answers come first."""
        known = [row[0] for row in self._db.query("SELECT id FROM scorer ORDER BY key")]
        return sorted(known, key=lambda name: not name.startswith(FORMER))

    def unscored(self, scorer_id: str) -> Iterator[Rollout]:
        """Stream the rollouts on which a scorer had given no verdict when iteration began."""
        rows = self._db.query(
            "SELECT rollout.key FROM rollout LEFT JOIN score ON score.subject = rollout.key "
            "AND score.subject_kind = 'rollout' AND score.scorer = (SELECT key FROM scorer WHERE id = ?) "
            "WHERE score.subject IS NULL ORDER BY rollout.key",
            (scorer_id,),
        )
        return rollouts_by_key(self._db, array("q", (row[0] for row in rows)))

    def outcome_rows(
        self,
        scorer_id: str,
        *,
        settings_id: str | None = None,
        engine_card_id: str | None = None,
        intervention_id: str | None = None,
        prefix_id: str | None = None,
    ) -> Iterator[OutcomeRow]:
        """Stream rollouts with a scorer's verdict on them, without their bodies; those without one are left out."""
        asked = {"settings": settings_id, "engine_card": engine_card_id, "intervention": intervention_id}
        wanted = {table: value for table, value in asked.items() if value is not None}
        where = "".join(f"AND rollout.{table} = (SELECT key FROM {table} WHERE id = ?) " for table in wanted)
        # A whole run is read in the order of its verdicts, one prefix by its index: CROSS JOIN keeps to that.
        prefix = "" if prefix_id is None else "AND rollout.prefix = (SELECT key FROM prefix WHERE id = ?) "
        order = "score CROSS JOIN rollout" if prefix_id is None else "rollout CROSS JOIN score"
        sql = (
            "SELECT rollout.key, prefix.id, rollout.sample_idx, rollout.id, rollout.finish_reason, rollout.n_tokens, "
            f"score.value FROM {order} CROSS JOIN prefix WHERE score.subject = rollout.key "
            "AND score.scorer = (SELECT key FROM scorer WHERE id = ?) AND score.subject_kind = 'rollout' "
            f"AND prefix.key = rollout.prefix {where}{prefix}AND score.subject > ? ORDER BY score.subject LIMIT ?"
        )
        fixed = [scorer_id, *wanted.values(), *([] if prefix_id is None else [prefix_id])]
        last = 0
        while page := self._db.query(sql, (*fixed, last, _PAGE)):
            last = self._db.forward(last, page[-1][0])
            verdicts = {text: unpack_json(text) for text in {row[6] for row in page}}  # few differ
            for row in page:
                yield OutcomeRow(row[1], row[2], row[3], row[4], row[5], verdicts[row[6]])

    def _subject(self, score: Score) -> int:
        if score.subject_kind != "step":
            return self._db.key(score.subject_kind, score.subject_id)
        chain_id, _, idx = score.subject_id.partition("/")
        found = self._db.query(
            "SELECT step.key FROM step JOIN chain ON chain.key = step.chain WHERE chain.id = ? AND step.idx = ?",
            (chain_id, int(idx) if idx.isdigit() else -1),
        )
        if not found:
            raise RunError(f"step {score.subject_id} is not in the run {self._db.folder}: add its chain first")
        return int(found[0][0])
