"""Which rollouts a study wants, and drawing those that are missing.

    config = StudyConfig.of(problems="countdown", n_problems=3, model="tiny", n=100)
    finished = run_study(config)            # resumes what its run folder holds

    with revisit("runs/mine") as again:     # further rollouts in a run: edited prefixes, forced answers, avoided steps
        draw_edited(again.sampler({"kind": "edit"}), find_chain(again.run, None), [(4, [DeleteStep(2)])], 100, …)

`Resampling` is the same one floor lower, on an open run and engine; `Sampler` draws for any list of prefixes.
"""

from cotlab.sampling.arms import ARMS_STUDY, AskedStudy, first_chains, sample_arms
from cotlab.sampling.avoiding import Avoidance, Avoided, IsAvoided, Trail, draw_avoiding, draw_avoiding_each
from cotlab.sampling.branching import BranchConfig, FinishedBranch, run_branch
from cotlab.sampling.budget import Budget
from cotlab.sampling.config import StudyConfig
from cotlab.sampling.cost import Cost
from cotlab.sampling.draw import Drawn, Sampler
from cotlab.sampling.edit_branch import EditConfig, filler
from cotlab.sampling.edited import draw_edited, draw_forced
from cotlab.sampling.faithfulness import TESTS, FaithfulnessTest, draw_faithfulness
from cotlab.sampling.gathering import Gathering
from cotlab.sampling.greedy_control import draw_greedy_control, greedy_settings
from cotlab.sampling.image_branch import ImageConfig
from cotlab.sampling.import_job import ImportConfig
from cotlab.sampling.job_kinds import request_of
from cotlab.sampling.jobs import Job, JobProgress, list_jobs, start_job
from cotlab.sampling.labels import ORACLE_ID
from cotlab.sampling.mending import MendedGold, mend_gold, with_answer
from cotlab.sampling.positions import Positions
from cotlab.sampling.progress import Progress, Silent
from cotlab.sampling.resampling import Resampled, Resampling
from cotlab.sampling.revisiting import Revisit, find_chain, find_chains, revisit
from cotlab.sampling.scoring import score_rollouts, score_run
from cotlab.sampling.spec import Screen, StudySpec
from cotlab.sampling.study import FinishedStudy, resample, run_study
from cotlab.sampling.token_branches import branch_cost, draw_branches
from cotlab.sampling.transplant import FRACTIONS, TRANSPLANT, Transplant, draw_transplants, places_at
from cotlab.sampling.views import (
    PUBLISHED_RULES,
    VIEWS_STUDY,
    ViewedStudy,
    ViewPlan,
    odds_id,
    plan_views,
    sample_views,
)
from cotlab.sampling.white_box_requests import (
    FeatureConfig,
    FeaturesConfig,
    InsideConfig,
    SteerConfig,
    SuppressConfig,
    reading_file,
)

__all__ = [
    "ARMS_STUDY",
    "FRACTIONS",
    "ORACLE_ID",
    "PUBLISHED_RULES",
    "TESTS",
    "TRANSPLANT",
    "VIEWS_STUDY",
    "AskedStudy",
    "Avoidance",
    "Avoided",
    "BranchConfig",
    "Budget",
    "Cost",
    "Drawn",
    "FaithfulnessTest",
    "EditConfig",
    "FinishedBranch",
    "FeatureConfig",
    "FeaturesConfig",
    "FinishedStudy",
    "Gathering",
    "IsAvoided",
    "ImageConfig",
    "ImportConfig",
    "InsideConfig",
    "Job",
    "JobProgress",
    "MendedGold",
    "Positions",
    "Progress",
    "Resampled",
    "Resampling",
    "Revisit",
    "Sampler",
    "Screen",
    "Silent",
    "SteerConfig",
    "StudyConfig",
    "StudySpec",
    "SuppressConfig",
    "Trail",
    "Transplant",
    "ViewPlan",
    "ViewedStudy",
    "branch_cost",
    "draw_avoiding",
    "draw_avoiding_each",
    "draw_branches",
    "draw_edited",
    "draw_faithfulness",
    "draw_forced",
    "draw_greedy_control",
    "draw_transplants",
    "filler",
    "find_chain",
    "find_chains",
    "first_chains",
    "greedy_settings",
    "list_jobs",
    "mend_gold",
    "odds_id",
    "places_at",
    "plan_views",
    "reading_file",
    "request_of",
    "resample",
    "revisit",
    "run_branch",
    "run_study",
    "sample_arms",
    "sample_views",
    "score_rollouts",
    "score_run",
    "start_job",
    "with_answer",
]
