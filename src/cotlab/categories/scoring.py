"""Categories as scores on the steps of a run's chains."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

from cotlab.chains.chain import Chain
from cotlab.chains.cutting import get_cutter
from cotlab.chains.problem import Problem
from cotlab.chains.score import Score, step_subject
from cotlab.chains.think import KNOWN_TAGS
from cotlab.errors import UserError
from cotlab.runs import Run

__all__ = ["StepClassifier", "StepVerdict", "score_categories", "score_chain"]

_TAG = re.compile("|".join(re.escape(text) for tags in KNOWN_TAGS for text in (tags.open, tags.close)))
_NOTHING: dict[str, Any] = {"category": "unknown", "backtracks": None}
"""Of a step that is a think tag or blank."""


class StepVerdict(Protocol):
    """What a step does."""

    def to_json(self) -> dict[str, Any]:
        """At least `{"category": str, "backtracks": bool}`."""
        ...


class StepClassifier(Protocol):
    """Says of every sentence of a chain what it does: `CategoryModel` on this machine, `RemoteJudge` elsewhere."""

    @property
    def id(self) -> str:
        """Name and version: `categories/1`."""
        ...

    def classify(self, sentences: Sequence[str], question: str = "") -> Sequence[StepVerdict]:
        """One verdict a sentence, in order."""
        ...


def score_categories(run: Run, classifier: StepClassifier) -> int:
    """Score the steps of every chain whose steps this classifier has not all scored.

    Returns:
        How many steps were scored now.

    Raises:
        UserError: Every chain of the run is cut into tokens, which are no sentences.
    """
    chains, problems = run.chains(), run.problems()
    fit = [chain for chain in chains if get_cutter(chain.cutter_id).rule is not None]
    if chains and not fit:
        raise UserError(f"the chains of {run.path} are cut into tokens: categories are of sentences")
    known = {score.subject_id for score in run.scores("step", classifier.id)}
    done = 0
    for chain in fit:
        if any(step_subject(chain.id, step.idx) not in known for step in chain.steps):
            score_chain(run, chain, problems[chain.problem_id], classifier)
            done += len(chain.steps)
    return done


def score_chain(run: Run, chain: Chain, problem: Problem, classifier: StepClassifier) -> None:
    """Score every step of one chain; think tags and blank steps are `unknown` and no neighbours of anything."""
    said = [step for step in chain.steps if _TAG.sub("", step.text).strip()]
    verdicts = classifier.classify([_TAG.sub("", step.text).strip() for step in said], problem.question)
    values = {step.idx: verdict.to_json() for step, verdict in zip(said, verdicts, strict=True)}
    run.add_scores(
        Score("step", step_subject(chain.id, step.idx), classifier.id, values.get(step.idx, _NOTHING))
        for step in chain.steps
    )
