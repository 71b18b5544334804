"""Import of math-rollouts (Thought Anchors, Bogdan et al. 2025): local folders, the web copy, hub Parquet.

- The chain under study is the chunks as rollouts went on from them (their prefixes join them by single spaces). The
  base solution with its own white space is kept beside it.
- Where `prefix_without_chunk` is something else (their code removes every repeat of a chunk), the rollouts start from
  that prefix, off the chain, with an `edit` edge: they are no samples of the chain's prefix.
- Verdicts are theirs (scorer `math-rollouts/1`), answers grouped as their code groups them; so are labels and published
  numbers of each chunk.
- The web copy has first sentences only. They are stored as rollouts cut off behind it (finish reason `length`), whose
  answers are not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from cotlab.chains.categories import CATEGORIES
from cotlab.chains.chain import Chain
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.rollout import FIRST_SENTENCE, FinishReason, Rollout, text_ids
from cotlab.chains.score import Score, step_subject
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.step import Step
from cotlab.errors import DataError
from cotlab.interventions import Baseline, ForceAnswer
from cotlab.models import EngineCard
from cotlab.runs.imports import Imported
from cotlab.runs.imports.sources import open_source
from cotlab.runs.imports.traces import Solution, Trace, TraceName, read_trace, trace_names
from cotlab.runs.run import Run, building
from cotlab.runs.run_identity import RunIdentity

__all__ = ["BASE", "PROVENANCE", "SCORER", "STUB", "import_math_rollouts", "normalized_answer"]

SCORER = "math-rollouts/1"
PROVENANCE = "imported:math-rollouts"
BASE = "given:math-rollouts"
"""Of base solutions: they were chosen by their outcome, so they are no samples."""
STUB = "\n</think>\n\nTherefore, the final answers is \\boxed{"
"""What their code appends to force an answer."""
PROMPT = (
    "Solve this math problem step by step. You MUST put your final answer in \\boxed{{}}. "
    "Problem: {problem} Solution: \n<think>\n"
)
TEXT_TOKENIZER = "utf-8"
"""Tokenizer id of imported runs: bytes stand for the token ids that are not known."""
_SAMPLING = re.compile(r"temperature_([\d.]+)_top_p_([\d.]+)")


def import_math_rollouts(path: Path, out: Path) -> Imported:
    """Make a run of the traces at a path, which must be of one model.

    Raises:
        DataError: There are none, they are of several models, or a file is wrong.
        RunError: `out` holds something, or cannot be written.
    """
    source = open_source(path)
    names = trace_names(source)
    models = sorted({name.model for name in names})
    if len(models) > 1:
        raise DataError(f"{path} holds traces of {len(models)} models, a run is of one: import {' or '.join(models)}")
    identity = RunIdentity(
        models[0], TEXT_TOKENIZER, "math-rollouts", "<think>", "</think>", title=f"imported {path.name}"
    )
    with building(out, identity) as work:
        notes: list[str] = []
        with Run.open(work, writable=True) as run:
            for name in names:
                notes += _Import(run, read_trace(source, name)).store()
            summary = run.summary()
    return Imported(out, "math-rollouts", summary.chains, summary.rollouts, tuple(dict.fromkeys(notes)))


def normalized_answer(answer: str) -> str:
    """Their grouping of answers (`normalize_latex` of `utils.py`), re-stated."""
    text = re.sub(r"\s+", "", answer.strip().lower().replace("dfrac", "frac").replace("tfrac", "frac"))
    for old, new in (("\\%", ""), ("{,}", ""), ("\\times", "*"), ("\\cdot", "*")):
        text = text.replace(old, new)
    text = re.sub(r"(\d+)[.,](\d+)", r"\1.\2", text)
    text = re.sub(r"{([^{}]+)}", r"\1", text).replace("\\pi", "pi")
    text = re.sub(r"\\(?:text|mathrm)\{([^{}]+)\}", r"\1", text)
    return re.sub(r"([a-z]+)\\+\s*(\d+)", r"\1\2", text).replace("\\text", "")


class _Import:
    """One trace on its way into a run."""

    def __init__(self, run: Run, trace: Trace) -> None:
        self.run, self.trace = run, trace
        question = str(trace.problem.get("problem") or "")
        meta = {key: value for key, value in trace.problem.items() if key not in ("problem", "gt_answer")}
        gold = trace.problem.get("gt_answer")
        self.problem = Problem(
            question or trace.name.problem,
            None if gold is None else str(gold),
            name=trace.name.problem,
            meta={"math-rollouts": meta},
        )
        self.prompt_text = str(trace.base.get("prompt") or PROMPT.format(problem=question))
        self.prompt = Prefix(text_ids(self.prompt_text), len(text_ids(self.prompt_text)))
        self.settings = _settings(trace.name)
        self.card = _card(trace.name.model, "math-rollouts")
        self.base_card = _card(trace.name.model, "math-rollouts-base")
        self.notes: list[str] = []

    def store(self) -> list[str]:
        """Store everything in one transaction; returns what a reader should know."""
        run, trace = self.run, self.trace
        with run.transaction():
            run.add_problems([self.problem])
            run.add_settings(self.settings)
            run.add_engine_card(self.card)
            run.add_engine_card(self.base_card)
            run.add_intervention(Baseline())
            run.add_prefix(self.prompt, self.problem.id, text=self.prompt_text)
            self.study_id = run.add_study({"kind": "import", "format": "math-rollouts"}, 0)
            self.chain = chain = self._chain()
            for k, solutions in trace.solutions.items():
                self._solutions(k, solutions, forced=False)
            for k, solutions in trace.forced.items():
                self._solutions(k, solutions, forced=True)
            for k, sentences in trace.resampled.items() if not trace.solutions else ():
                self._first_sentences(chain.prefix(k), sentences)
            self._labels()
        return self.notes

    def _chain(self) -> Chain:
        """The base solution as it is, and the chunks joined by spaces, which is what was resampled."""
        base, name = self.trace.base, self.trace.name
        bounds = self._bounds()
        texts = [after[len(before) :] for before, after in pairwise(bounds)]
        joined = bounds[-1]
        solution = str(base.get("solution") or joined)
        index = 2 * (name.base.startswith("incorrect"))
        rollouts = [
            self._rollout(self.prompt, index, solution, self.base_card, BASE),
            self._rollout(self.prompt, index + 1, joined, self.base_card, f"{BASE}/chunks"),
        ]
        self.run.add_rollouts(rollouts, study_id=self.study_id)
        verdict = _verdict(str(base.get("answer") or ""), base.get("is_correct"), self.problem)
        self.run.add_scores(Score("rollout", rollout.id, SCORER, verdict) for rollout in rollouts)
        steps, end = [], 0
        for i, text in enumerate(texts):
            start, end = end, end + len(text_ids(text))
            steps.append(Step(i, start, end, text))
        chain = Chain(
            self.problem.id,
            rollouts[1].id,
            self.prompt.token_ids,
            text_ids(joined),
            "thought-anchors/1",
            tuple(steps),
            "given" if not name.base else "first-wrong" if name.base.startswith("incorrect") else "first-right",
        )
        self.run.add_chain(chain)
        self.run.add_chain_prefixes(chain)
        return chain

    def _bounds(self) -> list[str]:
        """What is kept at each position: as rollouts went on from it, else chunks joined by spaces."""
        found = [""]
        for k, chunk in enumerate(self.trace.chunks, start=1):
            told = [one.kept(self.prompt_text) for one in self.trace.solutions.get(k, ()) if one.error is None]
            same = [
                text for text in told if text.startswith(found[-1]) and _words(text) == _words(found[-1] + " " + chunk)
            ]
            found.append(same[0] if same else found[-1] + (" " if k > 1 else "") + chunk)
        return found

    def _solutions(self, k: int, solutions: list[Solution], *, forced: bool) -> None:
        groups: dict[str, list[Solution]] = {}
        for solution in solutions:
            groups.setdefault(solution.kept(self.prompt_text), []).append(solution)
        for kept, members in groups.items():
            prefix = self._forced_prefix(k, kept, members[0]) if forced else self._prefix(k, kept)
            done = [one for one in members if one.error is None]
            self._store(prefix, [(one.rollout, _verdict(one.answer, one.is_correct, self.problem)) for one in done])
            failed = [one.error for one in members if one.error is not None]
            self.run.add_attempts(
                [
                    (prefix.id, Baseline().id, self.settings.id, self.card.id, 1_000_000 + i, str(error))
                    for i, error in enumerate(failed)
                ],
                self.study_id,
            )

    def _prefix(self, k: int, kept: str) -> Prefix:
        """The chain's prefix, or the other one that these rollouts started from."""
        base = self.chain.prefix(k)
        if _words(kept) == _words(self._kept(k)):
            return base
        self.notes.append("some rollouts started from prefixes that are not the chain's (repeated chunks were removed)")
        other = self.prompt.extend(text_ids(kept)) if kept else self.prompt
        spec = {"format": "math-rollouts", "chunk": k, "why": "prefix_without_chunk is not the chain's prefix"}
        self.run.add_prefix(other, self.problem.id, parent=base, kind="edit", spec=spec, text=kept or self.prompt_text)
        return other

    def _forced_prefix(self, k: int, told: str, one: Solution) -> Prefix:
        kept = self._kept(k)
        stub = told[len(kept) :] if told.startswith(kept) and told != one.prefix_without_chunk else STUB
        prefix = self.chain.prefix(k).extend(text_ids(stub))
        spec = [ForceAnswer(stub).to_json()]
        self.run.add_prefix(
            prefix, self.problem.id, parent=self.chain.prefix(k), kind="edit", spec=spec, text=kept + stub
        )
        return prefix

    def _kept(self, k: int) -> str:
        return "".join(step.text for step in self.chain.steps[:k])

    def _store(self, prefix: Prefix, told: Iterable[tuple[str, dict[str, str | None]]]) -> None:
        first = len(self.run.have(prefix.id, Baseline().id, self.settings.id, self.card.id))
        pairs = [
            (self._rollout(prefix, first + i, text, self.card, PROVENANCE), verdict)
            for i, (text, verdict) in enumerate(told)
        ]
        self.run.add_rollouts([rollout for rollout, _ in pairs], study_id=self.study_id)
        self.run.add_scores(Score("rollout", rollout.id, SCORER, verdict) for rollout, verdict in pairs)

    def _first_sentences(self, prefix: Prefix, sentences: list[str]) -> None:
        first = len(self.run.have(prefix.id, Baseline().id, self.settings.id, self.card.id))
        unknown = {"answer": None, "key": None, "outcome": "unjudged"}
        rollouts = [
            self._rollout(prefix, first + i, text, self.card, f"{PROVENANCE}{FIRST_SENTENCE}", "length")
            for i, text in enumerate(sentences)
        ]
        self.run.add_rollouts(rollouts, study_id=self.study_id)
        self.run.add_scores(Score("rollout", rollout.id, SCORER, unknown) for rollout in rollouts)
        self.notes.append("only the first sentence of each rollout is known: values and importance cannot be computed")

    def _rollout(
        self, prefix: Prefix, idx: int, text: str, card: EngineCard, provenance: str, finish: FinishReason = "stop"
    ) -> Rollout:
        return Rollout(
            prefix.id, Baseline().id, self.settings.id, card.id, idx, 0, text, finish, None, provenance=provenance
        )

    def _labels(self) -> None:
        scores = []
        for k, row in self.trace.labelled.items():
            if k >= len(self.chain.steps):
                raise DataError(
                    f"{self.trace.name.folder}: chunk_idx {k}, but there are {len(self.chain.steps)} chunks"
                )
            category = row.function_tags[0] if row.function_tags else "unknown"
            value: dict[str, Any] = {
                "category": category if category in CATEGORIES else "unknown",
                "backtracks": None,
                "function_tags": row.function_tags,
                "depends_on": row.depends_on,
                "published": row.numbers,
                "summary": row.summary,
            }
            if k in self.trace.impacts:
                value["impacts"] = [[target, score] for target, score in self.trace.impacts[k]]
            scores.append(Score("step", step_subject(self.chain.id, k), SCORER, value))
        self.run.add_scores(scores)


def _words(text: str) -> list[str]:
    return text.split()


def _verdict(answer: str, is_correct: bool | None, problem: Problem) -> dict[str, str | None]:
    """Answer, key and outcome as their files have them."""
    if answer == "":
        return {"answer": None, "key": None, "outcome": "unparsable"}
    judged = "unjudged" if is_correct is None or problem.answer is None else "correct" if is_correct else "wrong"
    return {"answer": answer, "key": normalized_answer(answer) or None, "outcome": judged}


def _settings(name: TraceName) -> SamplingSettings:
    """Out of the folder's name; else what was published."""
    match = _SAMPLING.fullmatch(name.sampling)
    try:
        temperature, top_p = (float(part) for part in match.groups()) if match else (0.6, 0.95)
        return SamplingSettings(temperature=temperature, top_p=top_p, max_tokens=16_384)
    except ValueError as error:
        raise DataError(f"the folder {name.sampling!r} names impossible settings: {error}") from error


def _card(model: str, engine: str) -> EngineCard:
    return EngineCard(engine, model, revision="", tokenizer_id=TEXT_TOKENIZER, template_id="math-rollouts", dtype="")
