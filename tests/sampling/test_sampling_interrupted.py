"""Draws that are killed: what they leave favours short rollouts, and no view takes it for a sample.

The model: from the prompt it says " Quick." or " Slow." with chance 1/2; the quick ones are right with chance 0.9, the
slow ones, twelve steps longer, with chance 0.1. So V(prompt) is 0.5, and of what lands first far more is right.
"""

import os
import signal
import statistics
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from cotlab.chains.own_scorer import load_scorer
from cotlab.chains.problem import Problem
from cotlab.chains.rollout import Rollout
from cotlab.chains.settings import SamplingSettings
from cotlab.engines.base import Failure, Request
from cotlab.engines.markov import MarkovEngine
from cotlab.engines.markov_spec import EOS, Edge, MarkovSpec
from cotlab.errors import UserError
from cotlab.interventions.base import Baseline
from cotlab.reports.study import StudyView, chain_report
from cotlab.runs import Run, RunIdentity
from cotlab.sampling import Budget, Positions, Resampled, Resampling, StudySpec, draw, score_run
from cotlab.trees import build_tree, chain_draws, value

SETTINGS = SamplingSettings(temperature=1.0, top_p=1.0, max_tokens=64)
SPEC = StudySpec(SETTINGS, n=64, base=("random",), positions=Positions.parse("0,1"))
PROBLEM = Problem("Climb.", "7")
SCORER = load_scorer("answers")


def haste(slow_steps: int = 12) -> MarkovSpec:
    edges = [Edge("start", " Quick.\n", 0.5, "quick"), Edge("start", " Slow.\n", 0.5, "slow0")]
    edges += [Edge(f"slow{i}", f" Step {i}.\n", 1.0, f"slow{i + 1}") for i in range(slow_steps)]
    for state, right in (("quick", 0.9), (f"slow{slow_steps}", 0.1)):
        edges += [
            Edge(state, "</think>\n\\boxed{7}", right, "seven"),
            Edge(state, "</think>\n\\boxed{3}", 1 - right, "three"),
        ]
    edges += [Edge("seven", EOS, 1.0), Edge("three", EOS, 1.0)]
    return MarkovSpec("haste", "start", tuple(edges), (("seven", "7"), ("three", "3")), gold="7")


class Flights(MarkovEngine):
    """32 requests in flight, short ones land first, as on a batching engine; may kill its own process."""

    kill_after: int | None = None

    def sample(self, requests: Iterable[Request]) -> Iterator[Rollout | Failure]:
        source, flying = iter(requests), list[Rollout | Failure]()
        while True:
            flying += list(super().sample(islice(source, 32 - len(flying))))
            if not flying:
                return
            flying.sort(key=lambda result: result.n_tokens if isinstance(result, Rollout) else 0)
            if self.kill_after is not None:
                if not self.kill_after:
                    os.kill(os.getpid(), signal.SIGKILL)
                self.kill_after -= 1
            yield flying.pop(0)


def study(folder: Path, seed: int, *, kill_after: int | None = None, budget: Budget | None = None) -> Resampled:
    engine = Flights(haste())
    engine.kill_after = kill_after
    identity = RunIdentity("markov", engine.tokenizer.id, "plain", "<think>", "</think>")
    spec = StudySpec(SETTINGS, n=64, seed=seed, base=("random",), positions=Positions.parse("0,1"))
    with Run.open_or_create(folder, identity) as run:
        render = engine.tokenizer.encode
        work = Resampling(run, engine, spec, SCORER, render=lambda problem: render(problem.question), budget=budget)
        return work.go([PROBLEM])


def killed_study(folder: Path, seed: int, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in a process of its own that is killed with SIGKILL after so many rollouts."""
    monkeypatch.setattr(draw, "BATCH", 1)  # so that what has landed is stored
    child = os.fork()
    if child == 0:
        study(folder, seed, kill_after=after)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def landed(run: Run) -> list[bool]:
    """Whether each rollout that is there from the prompt is right; the chain itself, drawn apart, is left out."""
    prompt = run.chains()[0].prefix(0).id
    rows = [row for row in run.outcome_rows(SCORER.id) if row.prefix_id == prompt and row.sample_idx < 64]
    return [row.value["outcome"] == "correct" for row in rows]


def test_what_a_kill_leaves_is_no_sample_and_the_same_study_completes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    naive, shown, exact = [], [], 0.5
    for seed in range(16):
        folder = tmp_path / f"run{seed}"
        killed_study(folder, seed, 12 + 3 * seed % 40, monkeypatch)
        with Run.open(folder, writable=True) as run:
            score_run(run, SCORER)
            naive += landed(run)
            report = chain_report(run, run.chains()[0], StudyView(SCORER.id))
            first = report.steps[0].value_before
            tree = build_tree(run, scorer_id=SCORER.id)
            assert tree.nodes[run.chains()[0].prefix(0).id]["value"].reason == first.reason
        assert first.value is None and first.reason is not None
        assert first.reason.startswith("interrupted: ") and "of 64 rollouts; the same command completes" in first.reason
        assert report.steps[0].importance.value is None and report.notes
        assert not report.steps[0].alternatives and not report.steps[0].outcome_shares
        result = study(folder, seed)
        with Run.open(folder) as run:
            draws = chain_draws(run, result.chains[0], scorer_id=SCORER.id)[0]
            assert len(draws) == 64
            shown.append(value(draws).estimate.value)
    standard_error = (exact * (1 - exact) / len(naive)) ** 0.5
    assert statistics.fmean(naive) - exact > 4 * standard_error  # the bias that is kept out
    assert abs(statistics.fmean(shown) - exact) < 3 * (exact * (1 - exact) / (64 * 16)) ** 0.5


def test_a_larger_study_that_was_killed_leaves_the_smaller_one_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study(tmp_path / "run", 0)
    larger = StudySpec(SETTINGS, n=128, base=("random",), positions=Positions.parse("0,1"))
    monkeypatch.setattr(draw, "BATCH", 1)
    child = os.fork()
    if child == 0:
        engine = Flights(haste())
        engine.kill_after = 20
        with Run.open(tmp_path / "run", writable=True) as run:
            render = engine.tokenizer.encode
            Resampling(run, engine, larger, SCORER, render=lambda problem: render(problem.question)).go([PROBLEM])
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    with Run.open(tmp_path / "run", writable=True) as run:
        score_run(run, SCORER)
        chain = run.chains()[0]
        prompt, settings_id = chain.prefix(0).id, SETTINGS.id
        card_id = next(iter(run.engine_cards()))
        assert len(run.have(prompt, Baseline().id, settings_id, card_id)) > 64
        assert run.asked(settings_id, card_id, Baseline().id)[prompt] == [64, 128]
        assert len(chain_draws(run, chain, scorer_id=SCORER.id)[0]) == 64


def test_a_budget_leaves_whole_blocks(tmp_path: Path) -> None:
    """What is in flight lands, so what a budget left is shown, with its smaller n."""
    result = study(tmp_path / "run", 0, budget=Budget(tokens=250))
    assert result.shrunk or result.drawn.stopped
    with Run.open(tmp_path / "run") as run:
        draws = chain_draws(run, run.chains()[0], scorer_id=SCORER.id)
    assert 0 < len(draws[0]) < 64 and draws[0].lacking is None


def test_failed_requests_are_told_apart_from_interruptions(tmp_path: Path) -> None:
    spec = haste()
    engine = MarkovEngine(MarkovSpec(spec.name, spec.start, spec.edges, spec.answers, gold="7", fail_every=9))
    identity = RunIdentity("markov", engine.tokenizer.id, "plain", "<think>", "</think>")
    with Run.create(tmp_path / "run", identity) as run:
        render = engine.tokenizer.encode
        Resampling(run, engine, SPEC, SCORER, render=lambda problem: render(problem.question)).go([PROBLEM])
        report = chain_report(run, run.chains()[0], StudyView(SCORER.id))
    reason = report.steps[0].value_before.reason
    assert reason is not None and reason.endswith("of 64 requests failed; the same command tries them again")


def test_rollouts_without_a_verdict_are_said_so(tmp_path: Path) -> None:
    result = study(tmp_path / "run", 0)
    with Run.open(tmp_path / "run", writable=True) as run:
        run._db.execute("DELETE FROM score WHERE subject = (SELECT max(key) FROM rollout WHERE sample_idx < 64)")
        chain = result.chains[0]
        reasons = [draws.lacking for draws in chain_draws(run, chain, scorer_id=SCORER.id)]
    assert "63 of 64 rollouts are scored; `cotlab score` judges the rest" in reasons


def test_a_run_that_holds_nothing_scored_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_study(tmp_path / "run", 0, 20, monkeypatch)
    with Run.open(tmp_path / "run") as run, pytest.raises(UserError, match="Score it first"):
        chain_draws(run, run.chains()[0], scorer_id=SCORER.id)
