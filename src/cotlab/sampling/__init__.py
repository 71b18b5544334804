"""Which rollouts a study wants, and drawing those that are missing.

    config = StudyConfig.of(problems="countdown", n_problems=3, model="tiny", n=100)
    finished = run_study(config)            # resumes what its run folder holds

`Resampling` is the same one floor lower, on an open run and engine; `Sampler` draws for any list of prefixes.
"""

from cotlab.sampling.branching import BranchConfig, FinishedBranch, run_branch
from cotlab.sampling.budget import Budget
from cotlab.sampling.config import StudyConfig
from cotlab.sampling.cost import Cost
from cotlab.sampling.draw import Drawn, Sampler
from cotlab.sampling.jobs import Job, JobProgress, list_jobs, start_job
from cotlab.sampling.positions import Positions
from cotlab.sampling.progress import Progress, Silent
from cotlab.sampling.resampling import Resampled, Resampling
from cotlab.sampling.scoring import score_run
from cotlab.sampling.spec import Screen, StudySpec
from cotlab.sampling.study import FinishedStudy, resample, run_study

__all__ = [
    "BranchConfig",
    "Budget",
    "Cost",
    "Drawn",
    "FinishedBranch",
    "FinishedStudy",
    "Job",
    "JobProgress",
    "Positions",
    "Progress",
    "Resampled",
    "Resampling",
    "Sampler",
    "Screen",
    "Silent",
    "StudyConfig",
    "StudySpec",
    "list_jobs",
    "resample",
    "run_branch",
    "run_study",
    "score_run",
    "start_job",
]
