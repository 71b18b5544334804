"""Scorers: versioned verdicts on whole responses. Scoring again never samples again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from cotlab.chains.answer_judge import AnswerJudge
from cotlab.chains.answers import Judge, Verdict, check_answer, checker_of
from cotlab.chains.extract import EXTRACTORS, extract_answer
from cotlab.chains.problem import Problem
from cotlab.chains.rollout import FinishReason
from cotlab.chains.think import DEFAULT_TAGS, ThinkTags, split_response
from cotlab.errors import UserError

__all__ = ["AnswerScorer", "Response", "Scorer"]


@dataclass(frozen=True, slots=True)
class Response:
    """What a scorer sees: the WHOLE response, kept prefix and rollout joined."""

    text: str
    finish_reason: FinishReason = "stop"
    thinking: bool = False
    """Whether the prompt already opened the thinking, as R1 templates do. Then a response that stops without a closing
    think tag has no answer part, and only a box can hold its answer."""


@runtime_checkable
class Scorer(Protocol):
    """Says something of every response to a problem."""

    @property
    def id(self) -> str:
        """Name and version: `answers/1`. Another id means another score beside the old one."""
        ...

    def score(self, problem: Problem, responses: Sequence[Response]) -> list[dict[str, Any]]:
        """One JSON value a response, in order."""
        ...


class AnswerScorer:
    """Finds the answer of each response, checks it by `problem.checker`, and names its class of equal answers.

    A truncated response is `truncated` whatever it says so far: its answer could still have changed, and counting
    only the lucky ones would bias every share. `unparsable` is an answer that was not found or cannot be read.

    Args:
        extractors: Names in `EXTRACTORS`, tried in order; None takes those of the problem's checker.
        tags: Think tags of the model.
        judge: Where formulas are compared; None starts a worker process when one is first needed.
    """

    version = 1

    def __init__(
        self, extractors: Sequence[str] | None = None, tags: ThinkTags = DEFAULT_TAGS, judge: Judge | None = None
    ) -> None:
        for name in extractors or ():
            if name not in EXTRACTORS:
                raise UserError(f"unknown extractor {name!r}: choose from {', '.join(EXTRACTORS)}")
        self.extractors = tuple(extractors) if extractors is not None else None
        self.tags = tags
        self.judge = judge if judge is not None else AnswerJudge()

    @property
    def id(self) -> str:
        """`answers/1`, followed by what differs from the defaults."""
        extractors = f":{'+'.join(self.extractors)}" if self.extractors is not None else ""
        tags = "" if self.tags == DEFAULT_TAGS else f"@{self.tags.open}{self.tags.close}"
        return f"answers/{self.version}{extractors}{tags}"

    def score(self, problem: Problem, responses: Sequence[Response]) -> list[dict[str, Any]]:
        """`{"answer", "key", "outcome"}` of each response.

        Raises:
            DataError: The problem has an unknown checker or lacks what its checker needs.
        """
        checked: dict[str, Verdict] = {}  # rollouts of one problem share few answers
        return [self._verdict(problem, response, checked).to_json() for response in responses]

    def verdict(self, problem: Problem, response: Response) -> Verdict:
        """Verdict on one response."""
        return self._verdict(problem, response, {})

    def _verdict(self, problem: Problem, response: Response, checked: dict[str, Verdict]) -> Verdict:
        extractors = self.extractors if self.extractors is not None else checker_of(problem).extractors
        if response.finish_reason == "length":
            return Verdict(None, None, "truncated")
        split = split_response(response.text, self.tags, opened=response.thinking)
        answer = extract_answer(response.text, split.answer if split.closed else None, extractors)
        if answer is None:
            return Verdict(None, None, "unparsable")
        if answer not in checked:
            checked[answer] = check_answer(problem, answer, self.judge)
        return checked[answer]

    def close(self) -> None:
        """End the worker process, if one was started here."""
        if isinstance(self.judge, AnswerJudge):
            self.judge.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
