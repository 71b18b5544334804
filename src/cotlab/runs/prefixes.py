"""Tables `prefix` and `edge`: what sampling starts from, shared tokens stored once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from cotlab.chains.chain import Chain
from cotlab.chains.prefix import Prefix
from cotlab.errors import RunError
from cotlab.identity import token_bytes
from cotlab.runs.codecs import pack_json, pack_text, unpack_ids, unpack_json, unpack_text
from cotlab.runs.database import Database
from cotlab.runs.images import Images, pack_images
from cotlab.runs.rows import EdgeRow, PrefixRow

__all__ = ["EdgeKind", "NewPrefix", "Prefixes", "Segment", "segments"]

EdgeKind = Literal["root", "continue", "edit", "intervene"]
_PAGE = 5000


@dataclass(frozen=True, slots=True)
class NewPrefix:
    """A prefix to be stored."""

    prefix: Prefix
    problem_id: str
    parent: Prefix | None = None
    """The prefix that it came of, stored before it; None for a root."""
    kind: EdgeKind = "root"
    spec: Any = None
    """What was done to the parent, as JSON."""
    text: str | None = None
    """What all its KEPT tokens say; what the prompt says, where none is kept."""

    def __post_init__(self) -> None:
        if (self.parent is None) != (self.kind == "root"):
            raise ValueError(
                f"kind is {self.kind!r} with parent {self.parent and self.parent.id}: only a root has none"
            )
        if self.kind == "continue" and self.parent is not None:
            n_parent = len(self.parent.token_ids)
            same = self.prefix.token_ids[:n_parent] == self.parent.token_ids
            same = same and self.prefix.images == self.parent.images
            if not same or self.prefix.id == self.parent.id or self.prefix.n_prompt != self.parent.n_prompt:
                raise ValueError(f"prefix {self.prefix.id} does not go on from {self.parent.id}: use kind='edit'")


class Segment(NamedTuple):
    """A prefix on the way from the root to another."""

    key: int
    n_prompt: int
    n_tokens: int
    ids: bytes
    """Tokens beyond the parent."""
    prompt: str | bytes | None
    kept: str | bytes | None
    images: str | None


class Prefixes(Images):
    """What sampling starts from. Adding what is there already changes nothing."""

    _db: Database

    def add_prefix(
        self,
        prefix: Prefix,
        problem_id: str,
        *,
        parent: Prefix | None = None,
        kind: EdgeKind | None = None,
        spec: Any = None,
        text: str | None = None,
    ) -> None:
        """Store one prefix; see `NewPrefix` for what the arguments are.

        `kind` is by default root without a parent, else continue.

        Raises:
            ValueError: It does not go on from its parent though the kind says so.
            RunError: Problem or parent are not in the run, or the prefix belongs to another problem.
        """
        kind = kind or ("continue" if parent else "root")
        self.add_prefixes([NewPrefix(prefix, problem_id, parent, kind, spec, text)])

    def add_prefixes(self, prefixes: Iterable[NewPrefix]) -> None:
        """Store prefixes in one transaction, parents before children."""
        with self._db.transaction():
            for new in prefixes:
                self.add_images(new.prefix.images)
                _add(self._db, new)

    def add_chain_prefixes(self, chain: Chain) -> None:
        """Store the prefixes that end at the steps of a chain, each going on from the one before."""
        kept, parent = "", chain.prefix(0)
        new = []
        for n_steps, step in enumerate(chain.steps, start=1):
            kept += step.text
            prefix = chain.prefix(n_steps)
            if prefix != parent:  # a step without tokens is no new place
                new.append(NewPrefix(prefix, chain.problem_id, parent, "continue", None, kept))
            parent = prefix
        with self._db.transaction():
            if not self._db.query("SELECT 1 FROM prefix WHERE id = ?", (chain.prefix(0).id,)):
                self.add_prefix(chain.prefix(0), chain.problem_id)
            self.add_prefixes(new)

    def prefix(self, prefix_id: str) -> Prefix:
        """One prefix with its tokens.

        Raises:
            RunError: It is not in the run.
        """
        found = segments(self._db, prefix_id)
        ids = unpack_ids(b"".join(segment.ids for segment in found))
        return Prefix(ids, found[-1].n_prompt, self._shown(found[-1].images))

    def prompt_text(self, prefix_id: str) -> str:
        """What the prompt of a prefix says.

        Raises:
            RunError: It is not in the run, or its text is not known.
        """
        return self._text(prefix_id, segments(self._db, prefix_id)[0].prompt)

    def kept_text(self, prefix_id: str) -> str:
        """What the kept tokens of a prefix say.

        Raises:
            RunError: It is not in the run, or its text is not known.
        """
        found = segments(self._db, prefix_id)
        if found[-1].n_tokens == found[-1].n_prompt:
            return ""
        return "".join(self._text(prefix_id, segment.kept) for segment in found)

    def prefixes(self, problem_id: str | None = None) -> Iterator[PrefixRow]:
        """All prefixes, or those of one problem, without their tokens, in the order in which they were added."""
        sql = (
            "SELECT p.key, p.id, parent.id, problem.id, p.n_prompt, p.n_tokens, coalesce(edge.kind, 'root') "
            "FROM prefix p JOIN problem ON problem.key = p.problem "
            "LEFT JOIN edge ON edge.key = (SELECT min(key) FROM edge WHERE child = p.key) "
            "LEFT JOIN prefix parent ON parent.key = edge.parent "
            "WHERE p.key > ? AND problem.id = coalesce(?, problem.id) ORDER BY p.key LIMIT ?"
        )
        last = 0
        while page := self._db.query(sql, (last, problem_id, _PAGE)):
            last = self._db.forward(last, page[-1][0])
            for row in page:
                yield PrefixRow(*row[1:])

    def edges(self) -> Iterator[EdgeRow]:
        """How every prefix came about, in the order in which it was added."""
        sql = (
            "SELECT edge.key, parent.id, child.id, edge.kind, edge.spec FROM edge "
            "JOIN prefix parent ON parent.key = edge.parent JOIN prefix child ON child.key = edge.child "
            "WHERE edge.key > ? ORDER BY edge.key LIMIT ?"
        )
        last = 0
        while page := self._db.query(sql, (last, _PAGE)):
            last = self._db.forward(last, page[-1][0])
            for row in page:
                yield EdgeRow(row[1], row[2], row[3], unpack_json(row[4]))

    def _text(self, prefix_id: str, stored: str | bytes | None) -> str:
        if stored is None:
            raise RunError(f"the text of prefix {prefix_id} is not in the run: give it when the prefix is added")
        return unpack_text(stored)


def segments(db: Database, prefix_id: str) -> list[Segment]:
    """The prefixes whose tokens make up a prefix, from the root to itself.

    Raises:
        RunError: It is not in the run.
    """
    rows = db.query(
        "WITH RECURSIVE up(key, parent) AS (SELECT key, parent FROM prefix WHERE id = ? "
        "UNION SELECT prefix.key, prefix.parent FROM prefix JOIN up ON prefix.key = up.parent) "
        "SELECT key, n_prompt, n_tokens, ids, prompt, kept, images FROM prefix WHERE key IN (SELECT key FROM up) "
        "ORDER BY n_tokens",
        (prefix_id,),
    )
    if not rows:
        raise RunError(f"prefix {prefix_id} is not in the run {db.folder}: add it first")
    return [Segment(*row) for row in rows]


def _add(db: Database, new: NewPrefix) -> None:
    prefix = new.prefix
    found = db.query("SELECT key, problem FROM prefix WHERE id = ?", (prefix.id,))
    problem = db.key("problem", new.problem_id)
    if found:
        key, owner = found[0]
        if owner != problem:
            raise RunError(_two_problems(db, prefix.id, owner, problem))
    else:
        key = _insert(db, new, problem)
    if new.parent is not None:
        db.execute(
            "INSERT INTO edge(parent, child, kind, spec) VALUES (?,?,?,?) "
            "ON CONFLICT(child, parent, kind, spec) DO NOTHING",
            (db.key("prefix", new.parent.id), key, new.kind, pack_json(new.spec)),
        )


def _two_problems(db: Database, prefix_id: str, owner: int, asked: int) -> str:
    (here, gold), (other, wanted) = (
        db.query("SELECT id, answer FROM problem WHERE key = ?", (key,))[0] for key in (owner, asked)
    )
    named = [None if answer is None else unpack_text(answer)[:60] for answer in (gold, wanted)]
    return (
        f"prefix {prefix_id} belongs to problem {here} (gold answer {named[0]!r}), not {other} (gold answer "
        f"{named[1]!r}): if the gold answer was wrong, `cotlab runs mend {db.folder} --answer …` (or --gold FILE) puts "
        "the right one in its place and samples nothing; else two problems with the same prompt need two runs"
    )


def _insert(db: Database, new: NewPrefix, problem: int) -> int:
    prefix, ids = new.prefix, token_bytes(new.prefix.token_ids)
    base, shared, kept, images = None, 0, new.text, pack_images(prefix.images)
    if new.parent is not None:
        same = (prefix.n_prompt, images)
        path = [one for one in segments(db, new.parent.id) if (one.n_prompt, one.images) == same]
        base, shared, kept = _longest_shared(path, ids, new.text)
    prompt = None
    if len(prefix.token_ids) == prefix.n_prompt and base is None:
        prompt, kept = kept, ""
    row = (
        prefix.id,
        base,
        problem,
        prefix.n_prompt,
        len(prefix.token_ids),
        ids[shared:],
        None if prompt is None else pack_text(prompt),
        None if kept is None else pack_text(kept),
        images,
    )
    cursor = db.execute(
        "INSERT INTO prefix(id, parent, problem, n_prompt, n_tokens, ids, prompt, kept, images) "
        "VALUES (?,?,?,?,?,?,?,?,?)",
        row,
    )
    assert cursor.lastrowid is not None, "an INSERT that did not fail has a row id"
    return cursor.lastrowid


def _longest_shared(path: list[Segment], ids: bytes, text: str | None) -> tuple[int | None, int, str | None]:
    """Deepest prefix on a path whose tokens and text a new one goes on from.

    Returns:
        Its key (None: none), how many bytes of `ids` it covers, and the part of `text` beyond its own.
    """
    best: tuple[int | None, int, str | None] = (None, 0, text)
    covered, said = 0, text
    for segment in path:
        # Strictly shorter: a prefix cut inside a character may share tokens with another but not its text.
        if not ids.startswith(segment.ids, covered) or covered + len(segment.ids) >= len(ids):
            break
        covered += len(segment.ids)
        if text is None:
            best = (segment.key, covered, None)
            continue
        kept = None if segment.kept is None else unpack_text(segment.kept)
        if said is None or kept is None or not said.startswith(kept):
            break
        said = said[len(kept) :]
        best = (segment.key, covered, said)
    return best
