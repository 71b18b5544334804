"""Tables `chain` and `step`: responses under study and their cuts."""

from __future__ import annotations

from cotlab.chains.chain import Chain
from cotlab.chains.prefix import Prefix
from cotlab.chains.rollout import text_ids
from cotlab.chains.step import Step
from cotlab.errors import RunError
from cotlab.identity import token_bytes
from cotlab.runs.codecs import pack_text, unpack_ids, unpack_text
from cotlab.runs.database import Database
from cotlab.runs.images import Images
from cotlab.runs.prefixes import segments

__all__ = ["Chains", "united_roles"]

_SEVERAL = "+"
"""Between roles, where a chain has several."""


class Chains(Images):
    """Responses under study. Adding what is there already changes nothing."""

    _db: Database

    def add_chain(self, chain: Chain) -> None:
        """Store a chain; one that is there already gains the roles that it did not have.

        Raises:
            RunError: Its rollout is not in the run or has other tokens, or the chain is there with other steps.
        """
        with self._db.transaction():
            if self._db.query("SELECT 1 FROM chain WHERE id = ?", (chain.id,)):
                self._check_same_steps(chain)
                self._add_roles(chain)
                return
            rollout = self._db.key("rollout", chain.rollout_id)
            self._check_tokens(chain, rollout)
            cursor = self._db.execute(
                "INSERT INTO chain(id, problem, rollout, cutter_id, role, n_tokens) VALUES (?,?,?,?,?,?)",
                (
                    chain.id,
                    self._db.key("problem", chain.problem_id),
                    rollout,
                    chain.cutter_id,
                    _SEVERAL.join(chain.roles),
                    len(chain.response_ids),
                ),
            )
            for step in chain.steps:
                self._db.execute(
                    "INSERT INTO step(chain, idx, start, end, text) VALUES (?,?,?,?,?)",
                    (cursor.lastrowid, step.idx, step.start, step.end, pack_text(step.text)),
                )

    def chains(self, problem_id: str | None = None) -> list[Chain]:
        """All chains, or those of one problem, in the order in which they were added."""
        rows = self._db.query(
            "SELECT chain.key, problem.id, rollout.id, prefix.id, body.token_ids, body.text, chain.cutter_id, "
            "chain.role, chain.n_tokens FROM chain JOIN problem ON problem.key = chain.problem "
            "JOIN rollout ON rollout.key = chain.rollout JOIN prefix ON prefix.key = rollout.prefix "
            "JOIN rollout_body body ON body.rollout = rollout.key "
            "WHERE problem.id = coalesce(?, problem.id) ORDER BY chain.key",
            (problem_id,),
        )
        return [self._chain(*row) for row in rows]

    def _chain(
        self,
        key: int,
        problem_id: str,
        rollout_id: str,
        prefix_id: str,
        ids: bytes | None,
        text: str | bytes,
        cutter: str,
        roles: str,
        n: int,
    ) -> Chain:
        prefix = self._start(prefix_id)
        role, *also = roles.split(_SEVERAL)
        return Chain(
            problem_id=problem_id,
            rollout_id=rollout_id,
            prompt_ids=prefix.prompt_ids,
            response_ids=(prefix.kept_ids + unpack_ids(_span_bytes(ids, text)))[:n],
            cutter_id=cutter,
            steps=self._steps(key),
            role=role,  # type: ignore[arg-type]  # the column holds nothing else
            also=tuple(also),  # type: ignore[arg-type]
            images=prefix.images,
        )

    def _steps(self, chain_key: int) -> tuple[Step, ...]:
        rows = self._db.query("SELECT idx, start, end, text FROM step WHERE chain = ? ORDER BY idx", (chain_key,))
        return tuple(Step(idx, start, end, unpack_text(text)) for idx, start, end, text in rows)

    def _start(self, prefix_id: str) -> Prefix:
        found = segments(self._db, prefix_id)
        ids = unpack_ids(b"".join(segment.ids for segment in found))
        return Prefix(ids, found[-1].n_prompt, self._shown(found[-1].images))

    def _check_tokens(self, chain: Chain, rollout: int) -> None:
        prefix_id, ids, text = self._db.query(
            "SELECT prefix.id, body.token_ids, body.text FROM rollout JOIN prefix ON prefix.key = rollout.prefix "
            "JOIN rollout_body body ON body.rollout = rollout.key WHERE rollout.key = ?",
            (rollout,),
        )[0]
        start = self._start(prefix_id)
        response = token_bytes(start.kept_ids) + _span_bytes(ids, text)
        same = (chain.prompt_ids, chain.images) == (start.prompt_ids, start.images)
        if not same or not response.startswith(token_bytes(chain.response_ids)):
            raise RunError(f"chain {chain.id} has other tokens than its rollout {chain.rollout_id}")

    def _add_roles(self, chain: Chain) -> None:
        """Union of the roles, in the order in which they came."""
        ((roles,),) = self._db.query("SELECT role FROM chain WHERE id = ?", (chain.id,))
        union = united_roles(roles, _SEVERAL.join(chain.roles))
        if union != roles:
            self._db.execute("UPDATE chain SET role = ? WHERE id = ?", (union, chain.id))

    def _check_same_steps(self, chain: Chain) -> None:
        if self._steps(self._db.key("chain", chain.id)) != chain.steps:
            raise RunError(
                f"chain {chain.id} is in the run with other steps: cutter {chain.cutter_id} has changed, "
                "so give it a new version"
            )


def united_roles(first: str, second: str) -> str:
    """Roles of either, as the column holds them, in the order in which they came."""
    return _SEVERAL.join(dict.fromkeys([*first.split(_SEVERAL), *second.split(_SEVERAL)]))


def _span_bytes(ids: bytes | None, text: str | bytes) -> bytes:
    """Stored token ids, or what stands for them where only text is known (`Rollout.span_ids`)."""
    return ids if ids is not None else token_bytes(text_ids(unpack_text(text)))
