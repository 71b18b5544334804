"""What a step does: the sentence taxonomy of Thought Anchors (Bogdan et al. 2025)."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["CATEGORIES", "Category"]

Category = Literal[
    "problem_setup",
    "plan_generation",
    "fact_retrieval",
    "active_computation",
    "uncertainty_management",
    "result_consolidation",
    "self_checking",
    "final_answer_emission",
    "unknown",
]

CATEGORIES: tuple[Category, ...] = get_args(Category)
"""In the order in which tables show them."""
