"""One chain as the files of a math-rollouts trace."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import PurePath
from typing import Any

import numpy as np

from cotlab.chains.chain import Chain
from cotlab.chains.rollout import Rollout
from cotlab.chains.sample_idx import APART
from cotlab.interventions import Baseline
from cotlab.measures import (
    PublishedStep,
    Similarity,
    chain_rollouts,
    edited_prefixes,
    published_importance,
    sentence_importance,
)
from cotlab.runs import Run
from cotlab.trees import ConditionIds, sampled_under

__all__ = ["TraceExport"]

ORACLES = ("math-rollouts/1", "tiny-oracle/1")
"""Scorers of steps whose categories are written."""
IMPORTED = "given:math-rollouts"


class TraceExport:
    """A chain of a run, on its way out."""

    def __init__(
        self, run: Run, chain: Chain, scorer_id: str, similarity: Similarity, condition: ConditionIds | None = None
    ) -> None:
        self.run, self.chain, self.scorer_id, self.similarity = run, chain, scorer_id, similarity
        self.problem = run.problems()[chain.problem_id]
        self.condition = condition or sampled_under(run, chain)
        self.prompt = run.prompt_text(chain.prefix(0).id)
        self.chunks = [step.text.strip() for step in chain.steps]
        self.labels = self._labels()
        self.verdicts = {row.rollout_id: row.value for row in run.outcome_rows(scorer_id)}

    def folder(self) -> str:
        """`model/temperature_T_top_p_P/correct_base_solution/problem_N`."""
        settings = self.run.settings().get(self.condition.settings_id) if self.condition else None
        model = PurePath(self.run.identity.model).name or "model"
        sampling = (
            f"temperature_{settings.temperature}_top_p_{settings.top_p}" if settings else "temperature_0.6_top_p_0.95"
        )
        right = self._verdict(self.chain.rollout_id)["outcome"] == "correct"
        named = re.fullmatch(r"problem_\d+", self.problem.name)
        number = list(self.run.problems()).index(self.problem.id)
        return "/".join(
            [
                re.sub(r"[^\w.-]", "-", model),
                sampling,
                f"{'' if right else 'in'}correct_base_solution",
                self.problem.name if named else f"problem_{number}",
            ]
        )

    def files(self, folder: str, *, web: bool) -> Iterator[tuple[str, Any]]:
        """Relative name and JSON content of every file of the trace."""
        base = self._base()
        yield f"{folder}/problem.json", self._problem()
        yield f"{folder}/base_solution.json", base
        yield f"{folder}/chunks_labeled.json", self._labelled()
        if web:
            impacts = self._impacts()
            yield f"{folder}/chunks_resampled.json", self._resampled()
            yield f"{folder}/step_importance.json", impacts
            yield f"{folder}/summary.json", summary(folder, impacts, self.chunks)
            return
        solution = str(base["full_cot"]).rpartition("<think>")[2].partition("</think>")[0].strip()
        yield (
            f"{folder}/chunks.json",
            {"source_text": base["full_cot"], "solution_text": solution, "chunks": self.chunks},
        )
        for k, prefixes in self._prefixes().items():
            rows = [row for prefix_id in prefixes for row in self._solutions(k, prefix_id, "")]
            if rows:
                yield f"{folder}/chunk_{k}/solutions.json", rows
        for k, prefix_id, stub in self._forced():
            name = folder.replace("correct_base_solution/", "correct_base_solution_forced_answer/")
            yield f"{name}/chunk_{k}/solutions.json", list(self._solutions(k, prefix_id, stub))

    def _problem(self) -> dict[str, Any]:
        known = dict(self.problem.meta.get("math-rollouts") or {})
        return {"problem": self.problem.question, **known, "gt_answer": self.problem.answer}

    def _base(self) -> dict[str, Any]:
        rollout = self.run.rollout(self.chain.rollout_id)
        if rollout.provenance.startswith(IMPORTED):  # the solution with its own white space lies before the joined one
            rollout = next(
                one
                for one in self.run.rollouts(prefix_id=rollout.prefix_id)
                if one.provenance == IMPORTED and one.sample_idx == rollout.sample_idx - 1
            )
        verdict = self._verdict(rollout.id)
        return {
            "prompt": self.prompt,
            "solution": rollout.text,
            "full_cot": self.prompt + rollout.text,
            "answer": verdict["answer"] or "",
            "is_correct": verdict["outcome"] == "correct",
        }

    def _labelled(self) -> list[dict[str, Any]]:
        computed = {} if any("published" in label for label in self.labels.values()) else self._columns()
        rows = []
        for k, chunk in enumerate(self.chunks):
            label = self.labels.get(k, {})
            row: dict[str, Any] = {
                "chunk": chunk,
                "chunk_idx": k,
                "function_tags": label.get("function_tags", [label.get("category", "unknown")]),
                "depends_on": label.get("depends_on", []),
                **label.get("published", computed.get(k, {})),
            }
            if label.get("summary") is not None:
                row["summary"] = label["summary"]
            rows.append(row)
        return rows

    def _columns(self) -> dict[int, dict[str, float]]:
        data = chain_rollouts(self.run, self.chain, scorer_id=self.scorer_id, condition=self.condition)
        if not data.paths:
            return {}
        names = [field.name for field in fields(PublishedStep) if field.name != "chunk_idx"]
        return {
            row.chunk_idx: {name: getattr(row, name).value for name in names}
            for row in published_importance(data, self.similarity)
        }

    def _resampled(self) -> dict[str, list[str]]:
        data = chain_rollouts(self.run, self.chain, scorer_id=self.scorer_id, condition=self.condition)
        found: dict[str, list[str]] = {}
        for k in data.sampled():
            members = zip(data.members(k), data.said(k), strict=True)
            found[str(k)] = [said.strip() for path, said in members if path.passage.origin == k]
        return found

    def _impacts(self) -> list[dict[str, Any]]:
        known = {k: label["impacts"] for k, label in self.labels.items() if "impacts" in label}
        if not known:
            data = chain_rollouts(self.run, self.chain, scorer_id=self.scorer_id, condition=self.condition, depth=None)
            known = {k: [] for k in range(len(self.chunks))}
            for one in sentence_importance(data, self.similarity):
                known[one.source].append([one.target, one.estimate.value or 0.0])
        return [
            {
                "source_chunk_idx": k,
                "source_chunk_text": self.chunks[k],
                "target_impacts": [
                    {"target_chunk_idx": target, "importance_score": score} for target, score in known[k]
                ],
            }
            for k in sorted(known)
        ]

    def _prefixes(self) -> dict[int, list[str]]:
        """Where the rollouts of each chunk start: the chain's prefix, and others that an import put them on."""
        found = {k: [self.chain.prefix(k).id] for k in range(len(self.chunks))}
        for edge in self.run.edges():
            spec = edge.spec if isinstance(edge.spec, dict) else {}
            at = spec.get("chunk")
            if spec.get("format") == "math-rollouts" and at in found and edge.parent_id == found[at][0]:
                found[at].append(edge.child_id)
        return found

    def _forced(self) -> list[tuple[int, str, str]]:
        """Forced answers, but for those where the chain says the stub itself: they are rollouts of its own prefix."""
        own = {self.chain.prefix(k).id for k in range(len(self.chain.steps) + 1)}
        return [
            (keep, prefix_id, str(edits[0].to_json()["text"]))
            for keep, prefix_id, edits in edited_prefixes(self.run, self.chain)
            if len(edits) == 1 and edits[0].kind == "force-answer" and prefix_id not in own
        ]

    def _solutions(self, k: int, prefix_id: str, stub: str) -> Iterator[dict[str, Any]]:
        kept = self.run.kept_text(prefix_id)
        for rollout in self.run.rollouts(prefix_id=prefix_id, intervention_id=Baseline().id):
            if self._is_sample(rollout, forced=bool(stub)):
                yield self._solution(k, rollout, kept.removesuffix(stub), stub)

    def _is_sample(self, rollout: Rollout, *, forced: bool) -> bool:
        if rollout.provenance.startswith("given"):
            return False
        here = self.condition is not None and rollout.engine_card_id == self.condition.engine_card_id
        same = self.condition is not None and (forced or rollout.settings_id == self.condition.settings_id)
        return here and same and rollout.sample_idx < APART and rollout.id in self.verdicts

    def _solution(self, k: int, rollout: Rollout, kept: str, stub: str) -> dict[str, Any]:
        from cotlab.chains.cutting import get_cutter

        verdict = self._verdict(rollout.id)
        ends = get_cutter("thought-anchors/1").cut_text(rollout.text)
        return {
            "chunk_removed": self.chunks[k] if k < len(self.chunks) else "",
            "prefix_without_chunk": kept.strip(),
            "chunk_resampled": rollout.text[: ends[0]].strip() if ends else "",
            "rollout": rollout.text,
            "full_cot": f"{self.prompt}{kept}{stub}{rollout.text}",
            "answer": verdict["answer"] or "",
            "is_correct": verdict["outcome"] == "correct",
        }

    def _verdict(self, rollout_id: str) -> dict[str, Any]:
        unknown: dict[str, Any] = {"answer": None, "key": None, "outcome": "unjudged"}
        return self.verdicts.get(rollout_id, unknown)

    def _labels(self) -> dict[int, dict[str, Any]]:
        prefix, found = f"{self.chain.id}/", dict[int, dict[str, Any]]()
        for scorer in ORACLES:
            for score in self.run.scores("step", scorer) if not found else ():
                if score.subject_id.startswith(prefix):
                    found[int(score.subject_id.removeprefix(prefix))] = score.value
        return found


def summary(folder: str, impacts: list[dict[str, Any]], chunks: list[str]) -> dict[str, Any]:
    """summary.json as `step_attribution.py` computes it: over the whole matrix, zeros below the diagonal included."""
    n = len(chunks)
    matrix = np.zeros((n, n))
    for row in impacts:
        for one in row["target_impacts"]:
            matrix[row["source_chunk_idx"], one["target_chunk_idx"]] = one["importance_score"]
    outgoing = np.array([matrix[i, i + 1 :].mean() if i + 1 < n else 0.0 for i in range(n)])
    incoming = np.array([matrix[:j, j].mean() if j else 0.0 for j in range(n)])
    number = folder.rpartition("_")[2]
    return {
        "problem_idx": int(number),
        "num_chunks": n,
        "avg_importance": float(matrix.mean()),
        "max_importance": float(matrix.max()),
        "min_importance": float(matrix.min()),
        "top_influential_steps": _top(outgoing, chunks, "avg_outgoing_importance"),
        "top_dependent_steps": _top(incoming, chunks, "avg_incoming_importance"),
    }


def _top(scores: Any, chunks: list[str], name: str) -> list[dict[str, Any]]:
    order = [int(i) for i in np.argsort(scores)[::-1][:5]]
    return [{"step_idx": i, "step_text": chunks[i], name: float(scores[i])} for i in order if scores[i] > 0]
