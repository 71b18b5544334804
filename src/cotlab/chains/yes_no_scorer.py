"""A scorer that reads yes and no by a rule of one's choice: `--scorer pope`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cotlab.chains.problem import Problem
from cotlab.chains.scorers import Response
from cotlab.chains.think import DEFAULT_TAGS, ThinkTags, split_response
from cotlab.chains.yes_no import YES_NO_RULES, YesNo, read_yes_no
from cotlab.errors import UserError

__all__ = ["YesNoScorer"]

SHOWN = 80
"""Characters of an answer that are kept with the verdict."""


class YesNoScorer:
    """Reads every response to a yes-or-no question by one rule.

    The rule sees what follows the thoughts, white space around it aside; the published ones were made for models
    without thoughts. A truncated
    response is `truncated` by every rule but `pope`, which reads all.

    Args:
        rule: A key of `YES_NO_RULES`.
        tags: Think tags of the model.
    """

    version = 1

    def __init__(self, rule: str, tags: ThinkTags = DEFAULT_TAGS) -> None:
        if rule not in YES_NO_RULES:
            raise UserError(f"unknown way {rule!r} to read yes and no: choose one of {', '.join(YES_NO_RULES)}")
        self.rule, self.tags = rule, tags

    @property
    def id(self) -> str:
        """`pope/1`, followed by the think tags where they differ from the defaults."""
        tags = "" if self.tags == DEFAULT_TAGS else f"@{self.tags.open}{self.tags.close}"
        return f"{self.rule}/{self.version}{tags}"

    def score(self, problem: Problem, responses: Sequence[Response]) -> list[dict[str, Any]]:
        """`{"answer", "key", "outcome"}` of each response; `key` is yes or no."""
        gold = None if problem.answer is None else read_yes_no(problem.answer)
        return [self._value(gold, response) for response in responses]

    def _value(self, gold: YesNo | None, response: Response) -> dict[str, Any]:
        if response.finish_reason == "length" and self.rule != "pope":
            return {"answer": None, "key": None, "outcome": "truncated"}
        answer = split_response(response.text, self.tags, opened=response.thinking).answer.strip()
        said = YES_NO_RULES[self.rule](answer)
        if said is None:
            return {"answer": answer[:SHOWN] or None, "key": None, "outcome": "unparsable"}
        outcome = "unjudged" if gold is None else "correct" if said == gold else "wrong"
        return {"answer": answer[:SHOWN], "key": said, "outcome": outcome}
