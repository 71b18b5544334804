"""What models are asked: generated sets, files of the user's own, single questions and transcripts."""

from cotlab.problems.arms import Arm, Asked, ask_in_arms, asked_of, same_answer
from cotlab.problems.benchmarks import BENCHMARKS, load_benchmark
from cotlab.problems.hint_kinds import HINT_KINDS, WATCH_NOTES, HintKind
from cotlab.problems.pope import POPE_SPLITS, load_pope, pope_ids
from cotlab.problems.rows import gold_answer
from cotlab.problems.scenarios import Scenario, load_scenarios, scenario_problems
from cotlab.problems.sets import PROBLEM_SETS, load_problems, problem_from_text
from cotlab.problems.transcripts import Transcript, load_transcript, parse_transcript
from cotlab.problems.views import BLAME_VIEWS, LOOK_VIEWS, OWN, LeftOut, View, Viewed, Viewer, gold_of

__all__ = [
    "BLAME_VIEWS",
    "HINT_KINDS",
    "LOOK_VIEWS",
    "LeftOut",
    "OWN",
    "BENCHMARKS",
    "POPE_SPLITS",
    "PROBLEM_SETS",
    "View",
    "Viewed",
    "Viewer",
    "WATCH_NOTES",
    "Arm",
    "Asked",
    "HintKind",
    "Scenario",
    "Transcript",
    "ask_in_arms",
    "asked_of",
    "gold_answer",
    "gold_of",
    "load_benchmark",
    "load_pope",
    "load_problems",
    "load_scenarios",
    "load_transcript",
    "parse_transcript",
    "pope_ids",
    "problem_from_text",
    "same_answer",
    "scenario_problems",
]
