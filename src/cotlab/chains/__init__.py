"""Chains of thought: what is asked, what was said, where it is cut, how it is answered.

Facts (`Problem`, `Prefix`, `Rollout`) know nothing of verdicts; cutters, templates and scorers are versioned and stand
beside them. Names are loaded on first use, so that importing this room costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cotlab.chains.answer_judge import AnswerJudge
    from cotlab.chains.answers import CHECKERS, Checker, Judge, Judgement, Verdict, check_answer, checker_of
    from cotlab.chains.categories import CATEGORIES, Category
    from cotlab.chains.chain import Chain, ChainRole
    from cotlab.chains.cutting import CUTTERS, Cutter, get_cutter
    from cotlab.chains.extract import EXTRACTORS, extract_answer
    from cotlab.chains.image import Image
    from cotlab.chains.image_reader import ImageReader, ImageSpan
    from cotlab.chains.own_scorer import OwnScorer, load_scorer
    from cotlab.chains.prefix import Prefix
    from cotlab.chains.problem import Problem
    from cotlab.chains.rollout import FinishReason, Rollout, rollout_id
    from cotlab.chains.score import Outcome, Score, SubjectKind, step_subject
    from cotlab.chains.scorers import AnswerScorer, Response, Scorer
    from cotlab.chains.settings import SamplingSettings
    from cotlab.chains.step import Step
    from cotlab.chains.templates import (
        CHOICE_INSTRUCTION,
        MATH_INSTRUCTION,
        Template,
        TemplateKind,
        ThinkMode,
        template_from_file,
    )
    from cotlab.chains.think import DEFAULT_TAGS, SplitResponse, ThinkTags, split_response
    from cotlab.chains.tokens import ChatTokenizer, HFTokenizer, Tokenizer

__all__ = [
    "AnswerJudge",
    "AnswerScorer",
    "CATEGORIES",
    "CHECKERS",
    "CHOICE_INSTRUCTION",
    "CUTTERS",
    "Category",
    "Chain",
    "ChainRole",
    "ChatTokenizer",
    "Checker",
    "Cutter",
    "DEFAULT_TAGS",
    "EXTRACTORS",
    "FinishReason",
    "HFTokenizer",
    "Image",
    "ImageReader",
    "ImageSpan",
    "Judge",
    "Judgement",
    "MATH_INSTRUCTION",
    "Outcome",
    "OwnScorer",
    "Prefix",
    "Problem",
    "Response",
    "Rollout",
    "SamplingSettings",
    "Score",
    "Scorer",
    "SplitResponse",
    "Step",
    "SubjectKind",
    "Template",
    "TemplateKind",
    "ThinkMode",
    "ThinkTags",
    "Tokenizer",
    "Verdict",
    "check_answer",
    "checker_of",
    "extract_answer",
    "get_cutter",
    "load_scorer",
    "rollout_id",
    "split_response",
    "step_subject",
    "template_from_file",
]

_MODULES = {
    "answer_judge": ("AnswerJudge",),
    "answers": ("CHECKERS", "Checker", "Judge", "Judgement", "Verdict", "check_answer", "checker_of"),
    "categories": ("CATEGORIES", "Category"),
    "chain": ("Chain", "ChainRole"),
    "cutting": ("CUTTERS", "Cutter", "get_cutter"),
    "extract": ("EXTRACTORS", "extract_answer"),
    "image": ("Image",),
    "image_reader": ("ImageReader", "ImageSpan"),
    "own_scorer": ("OwnScorer", "load_scorer"),
    "prefix": ("Prefix",),
    "problem": ("Problem",),
    "rollout": ("FinishReason", "Rollout", "rollout_id"),
    "score": ("Outcome", "Score", "SubjectKind", "step_subject"),
    "scorers": ("AnswerScorer", "Response", "Scorer"),
    "settings": ("SamplingSettings",),
    "step": ("Step",),
    "templates": (
        "CHOICE_INSTRUCTION",
        "MATH_INSTRUCTION",
        "Template",
        "TemplateKind",
        "ThinkMode",
        "template_from_file",
    ),
    "think": ("DEFAULT_TAGS", "SplitResponse", "ThinkTags", "split_response"),
    "tokens": ("ChatTokenizer", "HFTokenizer", "Tokenizer"),
}
"""Which module has which names."""
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
