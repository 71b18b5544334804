"""Whether a run is whole: every hash recomputed, every count counted again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

from cotlab.chains.prefix import prefix_id
from cotlab.chains.rollout import FinishReason, rollout_id
from cotlab.errors import RunError, UserError
from cotlab.identity import content_id
from cotlab.runs.codecs import unpack_json
from cotlab.runs.database import Database
from cotlab.runs.run import Run

__all__ = ["verify_run"]

_PAGE = 5000
_CACHED = 256
_SHOWN = 20
_UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading a value raises that is of another kind than its column holds."""


def verify_run(path: Path | str) -> list[str]:
    """Check a run; nothing is changed.

    Returns:
        One line for each thing that is wrong, at most 20 of a kind; empty: the run is whole.
    """
    try:
        run = Run.open(path)
    except RunError as error:
        return [str(error)]
    with run:
        return [line for check in _CHECKS for line in _limited(run, check)]


def _limited(run: Run, check: Callable[[Run], Iterator[str]]) -> Iterator[str]:
    count = 0
    try:
        for line in check(run):
            count += 1
            if count <= _SHOWN:
                yield line
    except (RunError, *_UNREADABLE) as error:
        # A damaged page or value ends this check only: the others look at other ones.
        yield str(error) if isinstance(error, RunError) else f"a value cannot be read: {error}"
    if count > _SHOWN:
        yield f"… and {count - _SHOWN} more like this"


def _pages(run: Run) -> Iterator[str]:
    for (line,) in run._db.query("PRAGMA integrity_check"):
        if line != "ok":
            yield from (f"run.sqlite: {part}" for part in line.splitlines())


def _references(run: Run) -> Iterator[str]:
    for table, row, target, _ in run._db.query("PRAGMA foreign_key_check"):
        yield f"row {row} of {table} points to a {target} that is not there"


def _named(run: Run) -> Iterator[str]:
    """Problems, settings, engine cards, interventions, captures and studies against the hashes of what they hold."""
    for key, problem in run.problems().items():
        if problem.id != key:
            yield f"problem {key} has the content of {problem.id}"
    for table in ("settings", "engine_card", "intervention", "capture", "study"):
        seed = "seed" if table == "study" else "NULL"
        for key, spec, more in run._db.query(f"SELECT id, spec, {seed} FROM {table}"):
            value = unpack_json(spec)
            found = content_id(table, value if more is None else [value, more])
            if found != key:
                yield f"{table} {key} has the content of {found}"


def _artifacts(run: Run) -> Iterator[str]:
    """Files that interventions and activations need."""
    for key, artifact in run._db.query("SELECT id, artifact FROM intervention WHERE artifact IS NOT NULL"):
        try:
            if run.intervention(key).id != key:
                yield f"{artifact} does not give intervention {key}"
        except UserError as error:
            yield str(error)
    for (shard,) in run._db.query("SELECT DISTINCT shard FROM activation"):
        if not (run.path / shard).is_file():
            yield f"activations are lost: there is no {shard}"


def _images(run: Run) -> Iterator[str]:
    """Files of the images against their hashes; ids that nothing of the table holds."""
    for image_id in run.image_ids():
        try:
            run.image(image_id)
        except RunError as error:
            yield str(error)
    for table in ("problem", "prefix"):
        for public_id, image_id in run._db.query(
            f"SELECT {table}.id, shown.value FROM {table}, json_each({table}.images) shown "
            "WHERE shown.value NOT IN (SELECT id FROM image)"
        ):
            yield f"{table} {public_id} shows image {image_id}, which is not there"


def _prefixes(run: Run) -> Iterator[str]:
    recent: OrderedDict[int, bytes] = OrderedDict()
    for key, public_id, parent, n_prompt, n_tokens, ids, images in _rows(
        run._db, "SELECT key, id, parent, n_prompt, n_tokens, ids, images FROM prefix WHERE key > ?"
    ):
        above = b"" if parent is None else recent.get(parent)
        whole = (_tokens(run._db, parent) if above is None else above) + ids
        recent[key] = whole
        if len(recent) > _CACHED:
            recent.popitem(last=False)
        found = prefix_id(whole, () if images is None else unpack_json(images))
        if found != public_id:
            yield f"prefix {public_id} has other tokens or images: their hash is {found}"
        if len(whole) != 4 * n_tokens or not 0 < n_prompt <= n_tokens:
            yield f"prefix {public_id} says {n_tokens} tokens, {n_prompt} of the prompt; it has {len(whole) // 4}"


def _tokens(db: Database, key: int | None) -> bytes:
    parts: list[bytes] = []
    seen: set[int] = set()
    while key is not None and key not in seen:
        seen.add(key)
        found = db.query("SELECT parent, ids FROM prefix WHERE key = ?", (key,))
        if not found:
            break  # reported by the check of references
        key, ids = found[0]
        parts.append(ids)
    return b"".join(reversed(parts))


def _rollouts(run: Run) -> Iterator[str]:
    sql = (
        "SELECT r.key, r.id, p.id, i.id, s.id, e.id, r.sample_idx, r.n_tokens, b.rollout, length(b.token_ids), "
        "length(b.logprobs) FROM rollout r JOIN prefix p ON p.key = r.prefix "
        "JOIN intervention i ON i.key = r.intervention JOIN settings s ON s.key = r.settings "
        "JOIN engine_card e ON e.key = r.engine_card LEFT JOIN rollout_body b ON b.rollout = r.key WHERE r.key > ?"
    )
    for _, public_id, prefix, intervention, settings, card, idx, n_tokens, body, ids, logprobs in _rows(
        run._db, sql, "r.key"
    ):
        wanted = rollout_id(prefix, intervention, settings, card, idx)
        if wanted != public_id:
            yield f"rollout {public_id} has the condition of {wanted}"
        if body is None:
            yield f"rollout {public_id} has no body"
        elif (ids or 0) != 4 * n_tokens:
            yield f"rollout {public_id} says {n_tokens} tokens, its body has {(ids or 0) // 4}"
        elif logprobs is not None and logprobs != ids:
            yield f"rollout {public_id} has {n_tokens} tokens and {logprobs // 4} log probabilities"


def _contents(run: Run) -> Iterator[str]:
    """Decodes every body: text that is not UTF-8 ends the check with a line of its own."""
    for rollout in run.rollouts():
        if rollout.finish_reason not in get_args(FinishReason):
            yield f"rollout {rollout.id} finished with {rollout.finish_reason!r}"


def _bodies(run: Run) -> Iterator[str]:
    for (key,) in run._db.query("SELECT rollout FROM rollout_body WHERE rollout NOT IN (SELECT key FROM rollout)"):
        yield f"body {key} belongs to no rollout"


def _chains(run: Run) -> Iterator[str]:
    for chain in run.chains():
        end = 0
        for step in chain.steps:
            if step.start != end or step.end < step.start:
                yield f"step {step.idx} of chain {chain.id} starts at token {step.start}, expected {end}"
            end = step.end
        if end != len(chain.response_ids):
            yield f"the steps of chain {chain.id} cover {end} of {len(chain.response_ids)} tokens"
    for found, rollout, cutter in run._db.query(
        "SELECT chain.id, rollout.id, chain.cutter_id FROM chain JOIN rollout ON rollout.key = chain.rollout"
    ):
        if content_id("chain", [rollout, cutter]) != found:
            yield f"chain {found} has the content of {content_id('chain', [rollout, cutter])}"


def _scores(run: Run) -> Iterator[str]:
    for kind in ("rollout", "prefix", "step"):
        for subject, scorer in run._db.query(
            "SELECT subject, scorer.id FROM score JOIN scorer ON scorer.key = score.scorer "
            f"WHERE subject_kind = ? AND subject NOT IN (SELECT key FROM {kind})",
            (kind,),
        ):
            yield f"a score of {scorer} is about {kind} {subject}, which is not there"
    for (value,) in run._db.query("SELECT value FROM score WHERE NOT json_valid(value)"):
        yield f"a score holds {value!r}, which is not JSON"


def _rows(db: Database, sql: str, key: str = "key") -> Iterator[Any]:
    """Stream rows whose first column is their key, in its order."""
    last = 0
    while page := db.query(f"{sql} ORDER BY {key} LIMIT {_PAGE}", (last,)):
        last = db.forward(last, page[-1][0])
        yield from page


_CHECKS: tuple[Callable[[Run], Iterator[str]], ...] = (
    _pages,
    _references,
    _named,
    _artifacts,
    _images,
    _prefixes,
    _rollouts,
    _contents,
    _bodies,
    _chains,
    _scores,
)
