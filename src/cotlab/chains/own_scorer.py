"""The user's own scorer, by import path: `package.module:attribute` or `path/to/file.py:attribute`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, JsonValue, Strict, TypeAdapter, ValidationError

from cotlab.chains.problem import Problem
from cotlab.chains.score import Outcome
from cotlab.chains.scorers import AnswerScorer, Response, Scorer
from cotlab.chains.think import DEFAULT_TAGS, ThinkTags
from cotlab.chains.yes_no import YES_NO_RULES
from cotlab.chains.yes_no_scorer import YesNoScorer
from cotlab.errors import UserError
from cotlab.identity import canonical_json

__all__ = ["OwnScorer", "load_scorer"]


class ScoreValue(BaseModel):
    """What a scorer may return for a response; further JSON values are kept beside these."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, JsonValue]

    answer: str | None = None
    key: str | None = None
    outcome: Outcome


_RETURNED: TypeAdapter[bool | float | ScoreValue] = TypeAdapter(
    Annotated[bool, Strict()] | Annotated[float, Strict()] | ScoreValue
)
_EXPECTED = (
    "True or False, a number from 0 to 1, or {'answer': str, 'key': str, 'outcome': 'correct' | 'wrong' | …}, where "
    "further values are JSON and finite"
)


class OwnScorer:
    """A scorer made of a callable `(problem, response) -> dict | bool | float`, or of an object with `score`.

    True and 1.0 are `correct`, False and anything below 1.0 `wrong`; a float is kept as `score`. A truncated response
    is never `wrong`: it becomes `truncated`, whatever came back for it (a dict that says otherwise is kept).

    Args:
        name: What the id begins with.
        digest: Hash of the source, so that a changed scorer scores again.
        scorer: The callable or object.
    """

    def __init__(self, name: str, digest: str, scorer: Any) -> None:
        self.id = f"{name}@{digest}"
        self._name = name
        self._scorer = scorer

    def score(self, problem: Problem, responses: Sequence[Response]) -> list[dict[str, Any]]:
        """Checked values, one a response.

        Raises:
            UserError: The scorer raised or returned something else than it may, naming the response.
        """
        if isinstance(self._scorer, Scorer):
            returned = self._call(problem, f"{len(responses)} responses", self._scorer.score, responses)
            if not isinstance(returned, list) or len(returned) != len(responses):
                raise UserError(
                    f"scorer {self._name} returned {_short(returned)} for {len(responses)} responses to problem "
                    f"{_label(problem)}: return a list with one value a response"
                )
        else:
            returned = [
                self._call(problem, f"response {idx} of {len(responses)}", self._scorer, response)
                for idx, response in enumerate(responses)
            ]
        pairs = zip(responses, returned, strict=True)
        return [self._checked(problem, idx, response, value) for idx, (response, value) in enumerate(pairs)]

    def _call(self, problem: Problem, what: str, function: Callable[..., Any], argument: object) -> Any:
        try:
            return function(problem, argument)
        except Exception as error:  # someone else's code: told with the place, never swallowed
            raise UserError(
                f"scorer {self._name} raised {type(error).__name__}: {error} on {what} to problem {_label(problem)}: "
                "mend the scorer"
            ) from error

    def _checked(self, problem: Problem, idx: int, response: Response, value: object) -> dict[str, Any]:
        try:
            checked = _RETURNED.validate_python(value)
            if isinstance(checked, ScoreValue):
                canonical_json(checked.model_dump())
        except (ValidationError, ValueError) as error:  # JSON has neither NaN nor infinity
            raise UserError(self._refusal(problem, idx, value)) from error
        truncated = response.finish_reason == "length"
        if isinstance(checked, ScoreValue):
            outcome = "truncated" if truncated and checked.outcome == "wrong" else checked.outcome
            return {**checked.model_dump(), "outcome": outcome}
        if not 0 <= checked <= 1:
            raise UserError(self._refusal(problem, idx, value))
        outcome = "truncated" if truncated else "correct" if checked == 1 else "wrong"
        extra = {} if isinstance(checked, bool) else {"score": float(checked)}
        return {"answer": None, "key": None, "outcome": outcome, **extra}

    def _refusal(self, problem: Problem, idx: int, value: object) -> str:
        return (
            f"scorer {self._name} returned {_short(value)} for response {idx} to problem {_label(problem)}: "
            f"return {_EXPECTED}"
        )


def load_scorer(spec: str, tags: ThinkTags = DEFAULT_TAGS) -> Scorer:
    """A scorer by name or import path.

    Args:
        tags: Think tags of the model: the answer stands behind them.
        spec: `answers`; `answers:boxed+last-number` (extractors, in order); `yes-no`, `pope` or `lmms-eval` (ways to
            read yes and no, `cotlab.chains.yes_no`); `package.module:attribute`; `path/to/file.py:attribute`.

    Raises:
        UserError: There is no such scorer.
    """
    where, colon, attribute = spec.rpartition(":")
    if spec == "answers":
        return AnswerScorer(tags=tags)
    if spec in YES_NO_RULES:
        return YesNoScorer(spec, tags)
    if where == "answers":
        return AnswerScorer(extractors=attribute.split("+"), tags=tags)
    if not (colon and where and attribute):
        raise UserError(
            f"unknown scorer {spec!r}: choose answers, answers:EXTRACTOR+EXTRACTOR, {', '.join(YES_NO_RULES)}, "
            "package.module:attribute or path/to/file.py:attribute"
        )
    module = _from_file(Path(where)) if where.endswith(".py") else _from_package(where)
    if not hasattr(module, attribute):
        raise UserError(f"scorer {spec!r}: {where} has no {attribute!r}: name what it defines")
    scorer = getattr(module, attribute)
    scorer = scorer() if isinstance(scorer, type) else scorer
    if not (callable(scorer) or isinstance(scorer, Scorer)):
        raise UserError(f"scorer {spec!r} is {_short(scorer)}: name a callable or an object with id and score")
    name = scorer.id if isinstance(scorer, Scorer) else attribute
    return OwnScorer(name, _digest(module, spec), scorer)


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"scorer file {str(path)!r} does not exist: give the path of a Python file")
    name = f"cotlab_own_scorer_{hashlib.blake2b(str(path.resolve()).encode(), digest_size=6).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:  # pragma: no cover - a .py file always has a loader
        raise UserError(f"scorer file {str(path)!r} cannot be imported: give the path of a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pydantic look their module up
    return _executed(str(path), lambda: _run(spec.loader, module))


def _from_package(name: str) -> ModuleType:
    return _executed(name, lambda: importlib.import_module(name))


def _run(loader: Any, module: ModuleType) -> ModuleType:
    loader.exec_module(module)
    return module


def _executed(what: str, run: Callable[[], ModuleType]) -> ModuleType:
    try:
        return run()
    except Exception as error:  # someone else's code: told with the place, never swallowed
        raise UserError(
            f"scorer {what!r} cannot be imported ({type(error).__name__}: {error}): mend it, or give the path of "
            "its file as path/to/file.py:attribute"
        ) from error


def _digest(module: ModuleType, spec: str) -> str:
    source = Path(module.__file__).read_bytes() if module.__file__ else spec.encode()
    return hashlib.blake2b(source, digest_size=6).hexdigest()


def _label(problem: Problem) -> str:
    return repr(problem.name or problem.question[:40])


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
