"""Which rollouts a study wants, and drawing those that are missing.

    config = StudyConfig.of(problems="countdown", n_problems=3, model="tiny", n=100)
    finished = run_study(config)            # resumes what its run folder holds

`Resampling` is the same one floor lower, on an open run and engine; `Sampler` draws for any list of prefixes.
"""

from cotlab.sampling.branching import branch_cost, draw_branches
from cotlab.sampling.budget import Budget
from cotlab.sampling.config import StudyConfig
from cotlab.sampling.cost import Cost
from cotlab.sampling.draw import Drawn, Sampler
from cotlab.sampling.greedy_control import draw_greedy_control, greedy_settings
from cotlab.sampling.positions import Positions
from cotlab.sampling.progress import Progress, Silent
from cotlab.sampling.resampling import Resampled, Resampling
from cotlab.sampling.revisiting import Revisit, find_chain, revisit
from cotlab.sampling.scoring import score_run
from cotlab.sampling.spec import Screen, StudySpec
from cotlab.sampling.study import FinishedStudy, resample, run_study

__all__ = [
    "Budget",
    "Cost",
    "Drawn",
    "FinishedStudy",
    "Positions",
    "Progress",
    "Resampled",
    "Resampling",
    "Revisit",
    "Sampler",
    "Screen",
    "Silent",
    "StudyConfig",
    "StudySpec",
    "branch_cost",
    "draw_branches",
    "draw_greedy_control",
    "find_chain",
    "greedy_settings",
    "resample",
    "revisit",
    "run_study",
    "score_run",
]
