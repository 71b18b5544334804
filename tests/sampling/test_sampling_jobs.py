"""Sampling in a process of its own: it is followed, stopped and killed, and nothing is lost."""

import fcntl
import os
import signal
import time
from pathlib import Path

import pytest

from cotlab.errors import RunError, UserError
from cotlab.interventions.base import Baseline
from cotlab.runs import Run
from cotlab.sampling import BranchConfig, Job, StudyConfig, jobs, list_jobs, run_branch, run_study, start_job
from cotlab.trees import chain_draws, conditions_of

ASKED = {"question": "Climb the stairs", "answer": "7", "model": "markov:staircase", "cutter": "lines", "n": 12}


def ended(job: Job, seconds: float = 120) -> str:
    until = time.monotonic() + seconds
    while job.progress().state == "running" and time.monotonic() < until:
        time.sleep(0.1)
    return job.progress().state


def wait_for_rollouts(run: Path, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if (run / "run.json").exists():
            with Run.open(run) as store:
                if store.summary().rollouts:
                    return
        time.sleep(0.1)
    raise AssertionError(f"nothing was sampled in {seconds} s")


def test_a_job_does_what_the_study_does_and_is_found_again(tmp_path: Path) -> None:
    job = start_job(tmp_path, StudyConfig.of(**ASKED, run=tmp_path / "own"))
    assert ended(job) == "done", job.log()
    assert [found.id for found in list_jobs(tmp_path)] == [job.id]
    progress = list_jobs(tmp_path)[0].progress()
    with Run.open(tmp_path / "own") as run:
        assert run.summary().rollouts == progress.result["sampled_now"] > 0
    assert any(line.startswith("planned:") for line in progress.lines)
    again = run_study(StudyConfig.of(**ASKED, run=tmp_path / "own"))
    assert again.sampled_now == 0


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_what_was_sampled_before_the_end_is_there_and_goes_on(tmp_path: Path, how: str) -> None:
    slow = StudyConfig.of(**ASKED, run=tmp_path / "own", engine_options={"delay": 0.02})
    job = start_job(tmp_path, slow)
    with pytest.raises(RunError, match=f"is being sampled by job {job.id}"):
        start_job(tmp_path, slow)
    wait_for_rollouts(tmp_path / "own")
    if how == "stopped":
        job.stop()
    else:
        os.kill(job.pid, signal.SIGKILL)
    assert ended(job) == how
    with Run.open(tmp_path / "own") as run:
        before = run.summary().rollouts
    assert before > 0
    finished = run_study(StudyConfig.of(**ASKED, run=tmp_path / "own"))
    with Run.open(tmp_path / "own") as run:
        assert run.summary().rollouts == before + finished.sampled_now


def test_a_fault_of_the_user_ends_a_job_with_one_line(tmp_path: Path) -> None:
    job = start_job(tmp_path, StudyConfig.of(problems=str(tmp_path / "none.jsonl"), run=tmp_path / "own"))
    assert ended(job) == "failed"
    error = job.progress().error
    assert error is not None and "none.jsonl" in error and "\n" not in error


def test_a_branch_goes_on_with_the_samples_and_another_temperature_is_a_condition_of_its_own(tmp_path: Path) -> None:
    study = run_study(StudyConfig.of(**ASKED, run=tmp_path / "own"))
    with Run.open(study.path) as run:
        chain = run.chains()[0]
        (condition,) = conditions_of(run, chain)
        before = len(chain_draws(run, chain, scorer_id="answers", condition=condition, pooled=False)[1])
    asked = {
        "run": study.path,
        "prefix_id": chain.prefix(1).id,
        "settings_id": condition.settings_id,
        "engine_card_id": condition.engine_card_id,
    }
    more = run_branch(BranchConfig.of(**asked, n=30))
    assert (more.sampled_now, more.same_engine) == (30 - before, True)
    assert run_branch(BranchConfig.of(**asked, n=30)).sampled_now == 0
    warmer = run_branch(BranchConfig.of(**asked, n=20, temperature=0.5))
    with Run.open(study.path) as run:
        assert len(chain_draws(run, chain, scorer_id="answers", condition=condition, pooled=False)[1]) == 30
        assert len(run.have(chain.prefix(1).id, Baseline().id, warmer.settings_id, warmer.engine_card_id)) == 20
        assert len(conditions_of(run, chain)) == 2
        assert {rollout.seed for rollout in run.rollouts(prefix_id=chain.prefix(1).id)} != {0}


def test_a_branch_that_cannot_be_says_so_before_the_model_is_loaded(tmp_path: Path) -> None:
    study = run_study(StudyConfig.of(**ASKED, run=tmp_path / "own"))
    with pytest.raises(UserError, match="settings nothing are not in the run"):
        run_branch(BranchConfig.of(run=study.path, prefix_id="x", settings_id="nothing", engine_card_id="y"))
    with pytest.raises(UserError, match="n is 0"):
        BranchConfig.of(run=study.path, prefix_id="x", settings_id="s", engine_card_id="y", n=0)


def test_a_job_that_has_said_its_last_word_does_not_run_though_its_process_still_leaves(tmp_path: Path) -> None:
    asked = StudyConfig.of(**ASKED, run=tmp_path / "own")
    first = start_job(tmp_path, asked)
    assert ended(first) == "done", first.log()
    until = time.monotonic() + 120
    while first.alive() and time.monotonic() < until:
        time.sleep(0.1)
    with open(first.folder / "job.lock", "rb") as process:
        fcntl.flock(process, fcntl.LOCK_EX)  # as long as an interpreter with PyTorch takes to end
        assert first.alive() and not first.running
        again = start_job(tmp_path, asked)  # not refused
        assert ended(again) == "done" and again.progress().result["sampled_now"] == 0


def test_progress_names_what_goes_on_and_since_when(tmp_path: Path) -> None:
    job = start_job(tmp_path, StudyConfig.of(**ASKED, run=tmp_path / "own", engine_options={"delay": 0.02}))
    seen = []
    while (now := job.progress()).state == "running":
        assert job.started - 1 <= now.since <= time.time()
        seen.append(now.phase)
        time.sleep(0.01)
    order = list(dict.fromkeys(seen))
    assert now.state == "done" and order[0] == "starting" and "resampling" in order
    assert not [line for line in now.lines if "loading" in line], "what is over is not told as if it went on"


def test_threads_that_list_jobs_do_not_trip_over_an_ended_process(tmp_path: Path) -> None:
    class Ended:
        def poll(self) -> int:
            jobs._STARTED.remove(self)  # type: ignore[arg-type]  # as another thread does meanwhile
            return 0

    jobs._STARTED.append(Ended())  # type: ignore[arg-type]
    assert list_jobs(tmp_path) == [] and not [one for one in jobs._STARTED if isinstance(one, Ended)]
