"""A study as a small Countdown run gives it."""

import random

import pytest

from cotlab.reports import AlternativeReport, ChainReport, ReportData, StepReport
from cotlab.stats.estimate import Estimate

STEPS = [
    ("I need to reach 34 from 5, 8 and 6.", "problem_setup", False),
    (" Let me try adding the two largest first.", "plan_generation", False),
    (" 8 + 6 = 14.", "active_computation", False),
    (" 14 + 5 = 19.", "active_computation", False),
    (" Got 19, need 34, too small.", "self_checking", False),
    (" Wait, that leaves no number, so this is a dead end.", "uncertainty_management", True),
    (" Go back to 5, 8 and 6.", "uncertainty_management", True),
    (" Products grow faster than sums.", "fact_retrieval", False),
    (" 5 × 8 = 40.", "active_computation", False),
    (" Now I have 40 and 6.", "result_consolidation", False),
    (" 40 − 6 = 34.", "active_computation", False),
    (" That is the target.", "self_checking", False),
    ("\n</think>\n\nThe answer is \\boxed{5 × 8 − 6}.", "final_answer_emission", False),
]
VALUES = [0.55, 0.56, 0.52, 0.41, 0.4, 0.39, 0.44, 0.5, 0.61, 0.93, 0.95, 0.99, 1.0, 1.0]


def proportion(value, n):
    half = 1.96 * (value * (1 - value) / n + 0.0009) ** 0.5
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), n=n, method="wilson")


def shares(value):
    rest = 1 - value
    return {"correct": value, "wrong": rest * 0.7, "unparsable": rest * 0.1, "truncated": rest * 0.2}


def alternatives(text, rng, base_value):
    groups = [AlternativeReport(text.strip(), 46, 0.46, proportion(base_value, 46), (("34", 30), ("19", 16)), True)]
    for n, other in [(21, " 6 × 5 = 30."), (14, " 8 × 6 = 48."), (9, " Maybe 8 − 5 = 3."), (4, " Hmm, let me think.")]:
        value = proportion(rng.random(), n) if n > 5 else Estimate.missing("4 rollouts, 5 are needed", n=n)
        groups.append(AlternativeReport(other, n, n / 100, value, (("5 × 8 − 6", n - 3), ("none", 3))))
    tail = [AlternativeReport(f" Try {k} first.", 1, 0.01, Estimate.missing("1 rollout", n=1)) for k in range(6)]
    return (*groups, *tail)


def make_chain(name="countdown-3/17", texts=STEPS, role="first-right"):
    rng = random.Random(7)
    steps = []
    for idx, (text, category, backtracks) in enumerate(texts):
        before, after = VALUES[idx % 13], VALUES[idx % 13 + 1]
        delta = after - before
        q = 0.0004 if abs(delta) > 0.2 else 0.31
        importance = Estimate(
            delta, delta - 0.12, delta + 0.12, n=100, n1=100, n2=100, null_mean=0.0, null_q95=0.13, p=q / 2, q=q
        )
        if idx == 6:
            importance = Estimate.missing("3 complete blocks, 10 are needed", n=3)
        others = alternatives(text, rng, after)
        before_after = (proportion(before, 100), proportion(after, 100))
        steps.append(StepReport(idx, text, category, backtracks, *before_after, importance, shares(before), others))
    return ChainReport(
        name=name,
        question="Use each of 5, 8 and 6 once, with +, − and ×, to make 34.",
        gold_answer="34",
        role=role,
        answer="5 × 8 − 6",
        outcome="correct" if role == "first-right" else "wrong",
        steps=tuple(steps),
        final_shares=shares(1.0),
        notes=("14% of the rollouts from the prompt were truncated: V lies between 0.48 and 0.62.",),
    )


def make_report(*chains):
    return ReportData(
        title="What else could it have thought? Countdown with the tiny reasoner",
        chains=chains,
        model="cotlab/tiny-reasoner",
        engine="vllm 0.32.0 (CPU)",
        settings={"temperature": "1.0", "top-p": "1.0", "rollouts a prefix": "100", "longest response": "320 tokens"},
        run="runs/demo-2026-11-21",
        command="cotlab demo --seed 7 --rollouts 100 --out runs/demo-2026-11-21",
        seed=7,
        versions={"cotlab": "0.1.0", "torch": "2.13.0", "transformers": "5.19.0"},
        rollouts=1400,
        measured=(
            "V is the share of right answers among the rollouts from a prefix, with its 95% Wilson interval.",
            "ΔV is V after minus V before a step; the null floor is the 95% quantile of |ΔV| over permutations.",
        ),
        limits=("A base chain that was chosen for its outcome is not a sample of what the model does.",),
        next_commands=("cotlab tree runs/demo-2026-11-21", "cotlab export runs/demo-2026-11-21 --format parquet"),
        created="21 November 2026",
    )


@pytest.fixture
def report():
    return make_report(make_chain(), make_chain("countdown-3/41", STEPS[:9], "first-wrong"))


@pytest.fixture
def report_of():
    """Report with one chain of the steps that a test gives: (text, category, backtracks)."""
    return lambda texts: make_report(make_chain(texts=texts))
