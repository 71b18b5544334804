"""Statements that copy what a run attached as `src` has and `main` lacks, by content ids."""

from __future__ import annotations

from cotlab.errors import RunError
from cotlab.runs.chains import united_roles
from cotlab.runs.database import Database

__all__ = ["conflicts", "copy"]

_BY_CONTENT = {
    "image": "id, file, width, height",
    "problem": "id, question, answer, checker, choices, name, meta, images",
    "settings": "id, spec",
    "engine_card": "id, spec",
    "intervention": "id, kind, spec, artifact",
    "study": "id, spec, seed, created",
    "scorer": "id",
}
"""Tables that point to nothing."""

_BODY_DIFFERS = """
SELECT m.id FROM src.rollout s JOIN main.rollout m ON m.id = s.id
LEFT JOIN src.rollout_body sb ON sb.rollout = s.key LEFT JOIN main.rollout_body mb ON mb.rollout = m.key
WHERE s.seed IS NOT m.seed OR s.finish_reason IS NOT m.finish_reason OR s.n_tokens IS NOT m.n_tokens
OR s.provenance IS NOT m.provenance OR sb.text IS NOT mb.text OR sb.token_ids IS NOT mb.token_ids
OR sb.logprobs IS NOT mb.logprobs"""

_STEPS_DIFFER = """
SELECT DISTINCT m.id FROM src.chain s JOIN main.chain m ON m.id = s.id WHERE EXISTS (
SELECT idx, start, end, text FROM src.step WHERE chain = s.key
EXCEPT SELECT idx, start, end, text FROM main.step WHERE chain = m.key) OR EXISTS (
SELECT idx, start, end, text FROM main.step WHERE chain = m.key
EXCEPT SELECT idx, start, end, text FROM src.step WHERE chain = s.key)"""

_SUBJECT = {
    "rollout": "JOIN src.rollout x ON x.key = s.subject JOIN main.rollout m ON m.id = x.id",
    "prefix": "JOIN src.prefix x ON x.key = s.subject JOIN main.prefix m ON m.id = x.id",
    "step": "JOIN src.step x ON x.key = s.subject JOIN src.chain xc ON xc.key = x.chain "
    "JOIN main.chain mc ON mc.id = xc.id JOIN main.step m ON m.chain = mc.key AND m.idx = x.idx",
}
"""From a score `s` of the source to its subject `m` in the merged run."""


def conflicts(db: Database) -> list[str]:
    """One line for each rollout, chain and score that both runs hold with different content.

    Raises:
        RunError: The runs ask different problems with the same prompt.
    """
    two = db.query(
        "SELECT m.id FROM src.prefix s JOIN main.prefix m ON m.id = s.id JOIN src.problem sp ON sp.key = s.problem "
        "JOIN main.problem mp ON mp.key = m.problem WHERE sp.id != mp.id LIMIT 1"
    )
    if two:
        raise RunError(
            f"prefix {two[0][0]} belongs to two problems: runs that ask them with one prompt cannot be one; where "
            "only the gold answers differ, `cotlab runs mend RUN` gives both runs the same"
        )
    lines = [f"rollout {row[0]} has another body" for row in db.query(_BODY_DIFFERS)]
    lines += [f"chain {row[0]} has other steps" for row in db.query(_STEPS_DIFFER)]
    for kind, joins in _SUBJECT.items():
        lines += [
            f"scorer {row[0]} judged {kind} {row[1]} differently"
            for row in db.query(
                f"SELECT sc.id, x.{'id' if kind != 'step' else 'key'} FROM src.score s "
                f"JOIN src.scorer sc ON sc.key = s.scorer JOIN main.scorer mc0 ON mc0.id = sc.id {joins} "
                "JOIN main.score t ON t.scorer = mc0.key AND t.subject_kind = s.subject_kind AND t.subject = m.key "
                f"WHERE s.subject_kind = '{kind}' AND t.value != s.value"
            )
        ]
    return lines


def copy(db: Database) -> None:
    """Copy what is lacking."""
    for table, columns in _BY_CONTENT.items():
        db.execute(
            f"INSERT INTO main.{table}({columns}) SELECT {columns} FROM src.{table} s WHERE true "
            "ORDER BY s.key ON CONFLICT(id) DO NOTHING"
        )
    _copy_prefixes(db)
    _copy_rollouts(db)
    _copy_chains(db)
    _unite_roles(db)
    for kind, joins in _SUBJECT.items():
        db.execute(
            f"INSERT INTO main.score(scorer, subject_kind, subject, value) SELECT {_key('scorer')}, '{kind}', m.key, "
            f"s.value FROM src.score s {joins} WHERE s.subject_kind = '{kind}' "
            "ON CONFLICT(scorer, subject_kind, subject) DO NOTHING"
        )
    _copy_logs(db)


def _key(table: str, column: str | None = None) -> str:
    """Key in `main` of what column `s.<column>` points to in `src`."""
    return f"(SELECT a.key FROM main.{table} a JOIN src.{table} b ON b.id = a.id WHERE b.key = s.{column or table})"


def _last(db: Database, table: str) -> int:
    return int(db.query(f"SELECT coalesce(max(key), 0) FROM main.{table}")[0][0])


def _copy_prefixes(db: Database) -> None:
    last = _last(db, "prefix")
    db.execute(
        "INSERT INTO main.prefix(id, problem, n_prompt, n_tokens, ids, prompt, kept, images) "
        f"SELECT s.id, {_key('problem')}, s.n_prompt, s.n_tokens, s.ids, s.prompt, s.kept, s.images FROM src.prefix s "
        "WHERE true ORDER BY s.key ON CONFLICT(id) DO NOTHING"
    )
    # Parents afterwards, when all of them are there.
    db.execute(
        "UPDATE main.prefix SET parent = (SELECT up.key FROM src.prefix s JOIN src.prefix b ON b.key = s.parent "
        "JOIN main.prefix up ON up.id = b.id WHERE s.id = main.prefix.id) WHERE key > ?",
        (last,),
    )
    db.execute(
        "INSERT INTO main.edge(parent, child, kind, spec) "
        f"SELECT {_key('prefix', 'parent')}, {_key('prefix', 'child')}, s.kind, s.spec FROM src.edge s WHERE true "
        "ORDER BY s.key ON CONFLICT(child, parent, kind, spec) DO NOTHING"
    )


def _copy_rollouts(db: Database) -> None:
    last = _last(db, "rollout")
    targets = ("prefix", "intervention", "settings", "engine_card", "study")
    facts = "sample_idx, wave, seed, finish_reason, n_tokens, provenance, steered_tokens"
    db.execute(
        f"INSERT INTO main.rollout(id, {', '.join(targets)}, {facts}) "
        f"SELECT s.id, {', '.join(_key(table) for table in targets)}, {facts} FROM src.rollout s WHERE true "
        "ORDER BY s.key ON CONFLICT(id) DO NOTHING"
    )
    db.execute(
        "INSERT INTO main.rollout_body(rollout, text, token_ids, logprobs) "
        "SELECT m.key, b.text, b.token_ids, b.logprobs FROM main.rollout m JOIN src.rollout s ON s.id = m.id "
        "JOIN src.rollout_body b ON b.rollout = s.key WHERE m.key > ? ORDER BY m.key",
        (last,),
    )
    condition, keys = ", ".join(targets[:-1]), ", ".join(_key(table) for table in targets[:-1])
    db.execute(
        f"INSERT INTO main.asked({condition}, n) SELECT {keys}, s.n FROM src.asked s WHERE true ON CONFLICT DO NOTHING"
    )


def _copy_chains(db: Database) -> None:
    last = _last(db, "chain")
    db.execute(
        "INSERT INTO main.chain(id, problem, rollout, cutter_id, role, n_tokens) "
        f"SELECT s.id, {_key('problem')}, {_key('rollout')}, s.cutter_id, s.role, s.n_tokens FROM src.chain s "
        "WHERE true ORDER BY s.key ON CONFLICT(id) DO NOTHING"
    )
    db.execute(
        "INSERT INTO main.step(chain, idx, start, end, text) SELECT m.key, t.idx, t.start, t.end, t.text "
        "FROM main.chain m JOIN src.chain s ON s.id = m.id JOIN src.step t ON t.chain = s.key WHERE m.key > ? "
        "ORDER BY m.key, t.idx",
        (last,),
    )


def _unite_roles(db: Database) -> None:
    """One response may have been chosen for something else in each run."""
    for key, here, there in db.query(
        "SELECT m.key, m.role, s.role FROM src.chain s JOIN main.chain m ON m.id = s.id WHERE m.role != s.role"
    ):
        db.execute("UPDATE main.chain SET role = ? WHERE key = ?", (united_roles(here, there), key))


def _copy_logs(db: Database) -> None:
    request = "prefix_id, intervention_id, settings_id, engine_card_id, sample_idx, error, created"
    same = " AND ".join(f"a.{name} = s.{name}" for name in request.split(", "))
    db.execute(
        f"INSERT INTO main.attempt({request}, study) SELECT {request}, {_key('study')} FROM src.attempt s "
        f"WHERE NOT EXISTS (SELECT 1 FROM main.attempt a WHERE {same}) ORDER BY s.key"
    )
    db.execute(
        "INSERT INTO main.note(subject, text, created) SELECT subject, text, created FROM src.note s WHERE NOT EXISTS "
        "(SELECT 1 FROM main.note a WHERE a.subject = s.subject AND a.text = s.text AND a.created = s.created) "
        "ORDER BY s.key"
    )
