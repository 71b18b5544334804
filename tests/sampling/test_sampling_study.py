"""Studies on the markov engine: what is asked is drawn, once, and values agree with the exact ones."""

import json
import re
import resource
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from cotlab.chains.own_scorer import load_scorer
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.rollout import Rollout
from cotlab.chains.sample_idx import ALONE, APART, AVOIDING, CHOOSING, SCREENING
from cotlab.chains.scorers import Response
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.think import ThinkTags
from cotlab.engines.base import Failure, Request
from cotlab.engines.load import open_engine
from cotlab.engines.markov import MarkovEngine
from cotlab.engines.markov_spec import MarkovSpec
from cotlab.engines.markov_specs import staircase
from cotlab.errors import RunError, UserError
from cotlab.interventions.base import Baseline
from cotlab.reports.study import StudyView, chain_report
from cotlab.runs import Run, RunIdentity
from cotlab.sampling import Budget, FinishedStudy, Positions, Resampling, Sampler, StudyConfig, StudySpec, run_study
from cotlab.trees import ConditionIds, chain_draws


def asked(run: Path, **more: object) -> StudyConfig:
    given: dict[str, object] = {
        "model": "markov:staircase",
        "question": "Climb.",
        "answer": "7",
        "run": run,
        "n": 40,
        "base": ("random",),
    }
    return StudyConfig.of(**{**given, **more})


def main_path(folder: Path, run: Path, **more: object) -> StudyConfig:
    """The chain that takes every step of the main path of `lucky` and `null`, given as a transcript."""
    page = folder / "main-path.json"
    said = "".join(f" Step {name}.\n" for name in "ABCDEFGH")
    page.write_text(json.dumps({"question": "Climb.", "answer": "7", "response": f"{said}</think>\n\\boxed{{7}}"}))
    return asked(run, **{"question": None, "answer": None, "transcript": page, "base": None, **more})


def rows(run: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(run / "run.sqlite") as db:
        sql = "SELECT rollout.id, sample_idx, seed, text, token_ids, logprobs FROM rollout JOIN rollout_body ON "
        key = [row[1] for row in db.execute("PRAGMA table_info(rollout_body)")][0]
        return db.execute(f"{sql} rollout_body.{key} = rollout.key ORDER BY rollout.id").fetchall()


def view(finished: FinishedStudy) -> StudyView:
    return StudyView(finished.scorer_id, ConditionIds(finished.settings.id, finished.engine_card_id))


def test_every_position_gets_n_rollouts_and_a_second_study_none(tmp_path: Path) -> None:
    first = run_study(asked(tmp_path / "run"))
    with Run.open(tmp_path / "run") as run:
        chain = run.chains()[0]
        baseline = next(iter(run.interventions()))
        counts = run.counts(first.settings.id, first.engine_card_id, baseline, below=CHOOSING)
        assert [counts.get(chain.prefix(k).id) for k in range(len(chain.steps))] == [40] * len(chain.steps)
        assert chain.prefix(len(chain.steps)).id not in counts
    before = rows(tmp_path / "run")
    second = run_study(asked(tmp_path / "run"))
    chain_itself = 1
    assert first.sampled_now == 40 * len(first.positions[first.chain_ids[0]]) + chain_itself
    assert second.sampled_now == 0
    assert rows(tmp_path / "run") == before


def test_more_rollouts_are_added_to_those_that_are_there(tmp_path: Path) -> None:
    few = run_study(asked(tmp_path / "run", n=10))
    more = run_study(asked(tmp_path / "run", n=25))
    straight = run_study(asked(tmp_path / "straight", n=25))
    assert few.sampled_now + more.sampled_now == straight.sampled_now
    assert rows(tmp_path / "run") == rows(tmp_path / "straight")


def test_values_agree_with_the_exact_ones(tmp_path: Path) -> None:
    finished = run_study(asked(tmp_path / "run", n=400))
    opened = open_engine("markov:staircase")
    engine = opened.engine
    assert isinstance(engine, MarkovEngine)
    with Run.open(tmp_path / "run") as run:
        chain = run.chains()[0]
        report = chain_report(run, chain, view(finished))
    for step in report.steps:
        exact = engine.value(chain.prefix(step.idx), finished.settings)
        estimate = step.value_before
        assert estimate.value is not None
        se = max((exact * (1 - exact) / estimate.n) ** 0.5, 1e-9)
        assert abs(estimate.value - exact) < 4.5 * se + 1e-9
    assert report.steps[-1].value_after.value in (0.0, 1.0)


@pytest.mark.parametrize(("role", "outcome"), [("first-right", "correct"), ("first-wrong", "wrong")])
def test_a_chain_chosen_for_its_outcome_has_it(tmp_path: Path, role: str, outcome: str) -> None:
    finished = run_study(asked(tmp_path / "run", n=12, base=(role,)))
    with Run.open(tmp_path / "run") as run:
        assert chain_report(run, run.chains()[0], view(finished)).outcome == outcome


def test_a_problem_without_such_a_chain_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none of 4 rollouts was correct"):
        run_study(asked(tmp_path / "run", answer="8", base=("first-right",), tries=4))


def test_coarse_positions_refine_only_where_the_value_moves(tmp_path: Path) -> None:
    lucky = run_study(main_path(tmp_path, tmp_path / "lucky", model="markov:lucky", n=300, positions="coarse:4"))
    flat = run_study(main_path(tmp_path, tmp_path / "flat", model="markov:null", n=300, positions="coarse:4", seed=1))
    with Run.open(tmp_path / "flat") as run:
        steps = len(run.chains()[0].steps)
    assert flat.positions[flat.chain_ids[0]] == tuple(sorted({*range(0, steps, 4), steps - 1}))
    assert len(lucky.positions[lucky.chain_ids[0]]) > 4


def test_screening_draws_are_no_draws_of_the_value(tmp_path: Path) -> None:
    finished = run_study(asked(tmp_path / "run", n=20, screen="0:1", screen_n=15))
    with Run.open(tmp_path / "run") as run:
        report = chain_report(run, run.chains()[0], view(finished))
        prompt = run.chains()[0].prefix(0).id
        assert len(list(run.rollouts(prefix_id=prompt))) == 20 + 15 + 1  # draws, screening, the chain
    assert report.steps[0].value_before.n == 20


def test_screened_out_problems_leave_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="screened out: accuracy"):
        run_study(asked(tmp_path / "run", screen="0.99:1.0", screen_n=20))


def test_problems_beyond_those_that_are_kept_are_not_called_screened_out(tmp_path: Path) -> None:
    problems = tmp_path / "two.jsonl"
    problems.write_text('{"question": "Climb.", "answer": "7"}\n{"question": "Climb!", "answer": "7"}\n')
    more: dict[str, object] = {"question": None, "answer": None, "problems": str(problems), "n": 12}
    finished = run_study(asked(tmp_path / "run", **more, n_problems=1, screen="0:1"))
    (line,) = finished.skipped
    assert "not needed: accuracy " in line and "enough problems were found before" in line


def test_a_screen_may_take_the_nearest(tmp_path: Path) -> None:
    problems = tmp_path / "two.jsonl"
    problems.write_text('{"question": "Climb.", "answer": "7"}\n{"question": "Climb!", "answer": "12345"}\n')
    more: dict[str, object] = {"question": None, "answer": None, "problems": str(problems), "n": 12}
    screened = asked(tmp_path / "run", **more, n_problems=1, screen="0.99:1.0", screen_fill=True)
    finished = run_study(screened)
    with Run.open(tmp_path / "run") as run:
        studied = [run.problems()[chain.problem_id].question for chain in run.chains()]
    assert studied == ["Climb."] and any("accuracy 0%" in line for line in finished.skipped)


def test_a_budget_shrinks_n_in_whole_blocks(tmp_path: Path) -> None:
    free = run_study(asked(tmp_path / "free", n=200))
    tight = run_study(asked(tmp_path / "tight", n=200, budget="4k"))
    assert tight.n < free.n
    with Run.open(tmp_path / "tight") as run:
        tokens = sum(row.n_tokens for row in run.rollouts(bodies=False))
    assert tokens < 5_000


def test_a_dry_run_stores_nothing_and_tells_the_cost(tmp_path: Path) -> None:
    plan = run_study(asked(tmp_path / "run"), dry=True)
    assert not (tmp_path / "run").exists()
    real = run_study(asked(tmp_path / "run"))
    assert plan.cost.startswith(f"{real.sampled_now:,} rollouts") and "MB" in plan.cost


def test_a_dry_run_copies_records_alone_and_says_where_there_is_no_room(tmp_path: Path, monkeypatch) -> None:
    run_study(asked(tmp_path / "run", n=10))
    (tmp_path / "run" / "acts").mkdir()
    with (tmp_path / "run" / "acts" / "large.safetensors").open("wb") as file:
        file.truncate(1 << 30)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    found: list[str] = []

    def finished(*arguments: object) -> str:
        found.extend(str(path.relative_to(scratch)).partition("/")[2] for path in scratch.rglob("*") if path.is_file())
        return "planned"

    monkeypatch.setattr("cotlab.sampling.study._finished", finished)
    assert run_study(asked(tmp_path / "run", n=20), dry=True) == "planned"
    assert {"run/run.json", "run/run.sqlite"} <= set(found) and not [name for name in found if "acts" in name]
    assert list(scratch.iterdir()) == []
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, (limits := resource.getrlimit(resource.RLIMIT_FSIZE))[1]))
    try:
        with pytest.raises(RunError, match=r"cannot write .*scratch.* failing|cannot write .*disk is full") as error:
            run_study(asked(tmp_path / "run", n=20), dry=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value)


def test_a_coarse_plan_tells_the_most_that_it_may_take(tmp_path: Path) -> None:
    coarse = main_path(tmp_path, tmp_path / "run", model="markov:lucky", n=200, positions="coarse:4")
    plan = run_study(coarse, dry=True)
    found = re.match(r"at most ([\d,]+) rollouts, .* first wave: ([\d,]+) rollouts", plan.cost)
    assert found is not None, plan.cost
    most, first = (int(number.replace(",", "")) for number in found.groups())
    real = run_study(coarse)
    n_steps = _n_steps(tmp_path / "run")
    assert first < real.sampled_now <= most == 200 * n_steps


def test_a_position_beyond_a_short_chain_skips_that_chain_with_a_line(tmp_path: Path) -> None:
    both: dict[str, object] = {"model": "markov:branching", "base": ("first-wrong", "first-right"), "seed": 0, "n": 10}
    run_study(asked(tmp_path / "all", **both))
    with Run.open(tmp_path / "all") as run:
        short, long = sorted(len(chain.steps) for chain in run.chains())
    assert short < long
    finished = run_study(asked(tmp_path / "some", **both, positions=f"0,{long - 1}"))
    assert len(finished.chain_ids) == 1
    assert [line for line in finished.skipped if f"position {long - 1} lies beyond" in line]


def test_a_response_chosen_twice_is_one_chain_with_both_roles(tmp_path: Path) -> None:
    """Whichever of the two the random chain is, it is also the first of its outcome."""
    finished = run_study(asked(tmp_path / "run", n=12, base=("random", "first-right", "first-wrong")))
    with Run.open(tmp_path / "run") as run:
        chains = run.chains()
        told = [chain_report(run, chain, view(finished)).role for chain in chains]
    assert len(chains) == len(finished.chain_ids) == 2
    assert told[0] in ("random and first-right", "random and first-wrong")
    assert {role for chain in chains for role in chain.roles} == {"random", "first-right", "first-wrong"}
    assert run_study(asked(tmp_path / "run", n=12, base=("first-wrong", "first-right"))).sampled_now == 0


def test_the_value_of_the_prompt_does_not_depend_on_the_search_for_a_chain(tmp_path: Path) -> None:
    """First right chains of a problem whose value is 0.1, looked for among more rollouts than are asked for."""
    engine = MarkovEngine(staircase(jumps=(0.0, 0.0), base=0.1))
    identity = RunIdentity("markov", engine.tokenizer.id, "plain", "<think>", "</think>")
    settings = SamplingSettings(temperature=1.0, top_p=1.0, max_tokens=64)
    spec = StudySpec(settings, n=10, base=("first-right",), tries=32, positions=Positions.parse("0"))
    scorer = load_scorer("answers")
    with Run.create(tmp_path / "run", identity) as run:
        work = Resampling(run, engine, spec, scorer, render=lambda problem: engine.tokenizer.encode(problem.question))
        result = work.go([Problem(f"Climb {number}.", "7") for number in range(250)])
        draws = [chain_draws(run, chain, scorer_id=scorer.id)[0] for chain in result.chains]
    assert {skip.reason for skip in result.skipped} == {"none of 32 rollouts was correct"}
    assert {len(one) for one in draws} == {10} and len(draws) > 220
    right, total = sum(one.count("correct") for one in draws), 10 * len(draws)
    assert abs(right / total - 0.1) < 3 * (0.09 / total) ** 0.5  # looking among the first 32 itself gave 0.128


def _n_steps(folder: Path) -> int:
    with Run.open(folder) as run:
        return len(run.chains()[0].steps)


def test_failed_requests_are_missing_and_asked_for_again(tmp_path: Path) -> None:
    broken = run_study(asked(tmp_path / "run", engine_options={"fail_every": 3}))
    assert broken.failures > 0
    mended = run_study(asked(tmp_path / "run"))
    assert mended.sampled_now > 0 == mended.failures
    whole = run_study(asked(tmp_path / "whole"))
    assert whole.chain_ids == mended.chain_ids
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")


def test_a_transcript_becomes_the_chain_and_never_a_sample(tmp_path: Path) -> None:
    page = tmp_path / "transcript.json"
    page.write_text('{"question": "Climb.", "answer": "7", "response": "<think>\\n Step A.\\n Step B.\\n</think>\\n7"}')
    finished = run_study(asked(tmp_path / "run", question=None, answer=None, transcript=page, base=None))
    with Run.open(tmp_path / "run") as run:
        chain = run.chains()[0]
        report = chain_report(run, chain, view(finished))
    assert chain.role == "given"
    assert report.steps[0].value_before.n == 40


def test_a_transcript_and_a_base_chain_are_both_studied_where_both_are_asked_for(tmp_path: Path) -> None:
    both = run_study(main_path(tmp_path, tmp_path / "run", model="markov:lucky", n=12, base=("first-wrong",)))
    with Run.open(tmp_path / "run") as run:
        assert [chain.role for chain in run.chains()] == ["given", "first-wrong"]
    alone = run_study(main_path(tmp_path, tmp_path / "alone", model="markov:lucky", n=12))
    assert (len(both.chain_ids), len(alone.chain_ids)) == (2, 1)


def test_another_model_does_not_enter_a_run(tmp_path: Path) -> None:
    run_study(asked(tmp_path / "run", n=10))
    with pytest.raises(RunError, match="something else"):
        run_study(asked(tmp_path / "run", model="markov:null", n=10))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"positions": "sometimes"}, "positions 'sometimes'"),
        ({"budget": "lots"}, "budget 'lots'"),
        ({"screen": "high"}, "screen 'high'"),
        ({"n": 0}, "n is 0"),
        ({"base": ("best",)}, "best"),
        ({"model": "markov:nothing"}, "nothing"),
        ({"positions": "0,99"}, "position 99 lies beyond the random chain"),
        ({"cutter": "words"}, "words"),
        ({"scorer": "nobody"}, "nobody"),
        ({"colour": "red"}, "colour"),
        ({"question": None, "problems": "countdown", "model": "tiny"}, "answer '7'"),
        ({"answer": None, "base": ("first-right",)}, "no gold answer"),
        ({"answer": None, "screen": "0:1"}, "no gold answer"),
    ],
)
def test_bad_requests_name_the_value(tmp_path: Path, more: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        run_study(asked(tmp_path / "run", **more))
    assert "\n" not in str(caught.value)


def test_pairing_seeds_do_not_depend_on_the_intervention_or_n(tmp_path: Path) -> None:
    finished = run_study(asked(tmp_path / "run", n=10))
    assert replace(finished.settings, temperature=0.5).id != finished.settings.id
    with Run.open(tmp_path / "run") as run:
        seeds = [rollout.seed for rollout in run.rollouts()]
    assert len(set(seeds)) == len(seeds)


class Flights(MarkovEngine):
    """A markov engine with many requests in flight, of which the short ones land first, as on a batching engine."""

    def __init__(self, spec: MarkovSpec, window: int = 64) -> None:
        super().__init__(spec)
        self.window = window

    def sample(self, requests: Iterable[Request]) -> Iterator[Rollout | Failure]:
        source, flying = iter(requests), list[Rollout | Failure]()
        while True:
            flying += list(super().sample(islice(source, self.window - len(flying))))
            if not flying:
                return
            flying.sort(key=lambda result: result.n_tokens if isinstance(result, Rollout) else 0)
            yield flying.pop(0)


def test_a_spent_budget_lets_what_is_in_flight_land(tmp_path: Path) -> None:
    opened = open_engine("markov:branching").engine
    assert isinstance(opened, MarkovEngine)
    engine = Flights(opened.spec)
    identity = RunIdentity("markov", engine.tokenizer.id, "plain", "<think>", "</think>")
    with Run.create(tmp_path / "run", identity) as run:
        prompt = Prefix(tuple(engine.tokenizer.encode("Go.")), 3)
        problem = Problem("Go.")
        run.add_problems([problem])
        run.add_prefix(prompt, problem.id)
        study = run.add_study({}, 0)
        sampler = Sampler(run, engine, study, seed=0, budget=Budget(tokens=150))
        settings = SamplingSettings(temperature=1.0, top_p=1.0, max_tokens=64)
        sampler.draw([prompt], 500, settings, phase="all")
        have = run.have(prompt.id, Baseline().id, settings.id, engine.card.id)
    assert sampler.drawn.stopped and sampler.drawn.rollouts < 500
    assert have == set(range(len(have)))  # nothing that was asked for was dropped for being long


def test_temperature_zero_gives_no_draws(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="temperature 0"):
        run_study(asked(tmp_path / "run", temperature=0.0))


def test_a_budget_on_a_run_that_holds_something_goes_on(tmp_path: Path) -> None:
    run_study(asked(tmp_path / "run", n=30))
    more = run_study(asked(tmp_path / "run", n=100, budget="600"))
    assert 30 < more.n < 100 and more.sampled_now > 0
    assert more.stopped and "budget" in more.stopped


def test_another_seed_does_not_mix_into_a_run(tmp_path: Path) -> None:
    run_study(asked(tmp_path / "run", n=10))
    with pytest.raises(UserError, match="seed 0, not 1"):
        run_study(asked(tmp_path / "run", n=10, seed=1))


def test_steps_that_are_tokens_have_values(tmp_path: Path) -> None:
    finished = run_study(asked(tmp_path / "run", n=12, cutter="tokens"))
    with Run.open(tmp_path / "run") as run:
        report = chain_report(run, run.chains()[0], view(finished))
    assert report.steps[0].value_before.value is not None


def test_what_chooses_a_chain_costs_no_draw_of_its_steps(tmp_path: Path) -> None:
    """A chain that was drawn apart: every rollout from the prompt that passes on counts further down too."""
    study = run_study(asked(tmp_path / "run", answer="3", n=60, base=("random",)))
    with Run.open(study.path) as run:
        (chain,) = run.chains()
        first = chain.prefix(1)
        drawn = [r for r in run.rollouts(prefix_id=chain.prefix(0).id) if r.sample_idx < APART]
        passing = sum(
            (*chain.prompt_ids, *(r.token_ids or ()))[: len(first.token_ids)] == first.token_ids for r in drawn
        )
        here = chain_draws(run, chain, scorer_id=study.scorer_id)[1]
    assert len(drawn) == 60 and passing > 10
    assert int((here.origin == 0).sum()) == passing


def test_reserved_sample_indices_do_not_meet() -> None:
    """Each range has room for a hundred thousand, and trails at the prompt are not what its chain was chosen from."""
    starts = sorted({ALONE, SCREENING, CHOOSING, AVOIDING})
    assert len(starts) == 4 and min(starts) == APART
    assert all(b - a >= 100_000 for a, b in zip(starts, starts[1:], strict=False))


def test_a_budget_holds_although_an_engine_takes_many_requests_at_once(tmp_path: Path) -> None:
    """The engine reads 200 requests before it gives a rollout; tokens stay within the budget and a rollout's length."""
    spec = open_engine("markov:branching").engine
    assert isinstance(spec, MarkovEngine)
    engine = Flights(spec.spec, window=200)
    identity = RunIdentity("markov", engine.tokenizer.id, "plain", "<think>", "</think>")
    with Run.create(tmp_path / "run", identity) as run:
        prompt = Prefix(tuple(engine.tokenizer.encode("Go.")), 3)
        problem = Problem("Go.")
        run.add_problems([problem])
        run.add_prefix(prompt, problem.id)
        sampler = Sampler(run, engine, run.add_study({}, 0), seed=0, budget=Budget(tokens=600))
        sampler.draw([prompt], 500, SamplingSettings(temperature=1.0, top_p=1.0, max_tokens=64), phase="all")
    assert 400 < sampler.drawn.tokens <= 664
    assert sampler.drawn.stopped is not None and f"{sampler.drawn.tokens:,} tokens" in sampler.drawn.stopped


def test_answers_are_looked_for_behind_the_models_own_think_tags() -> None:
    said = "Let me see.<|end_of_thought|>\n\nThe answer is 5."
    (verdict,) = load_scorer("answers", ThinkTags("<|begin_of_thought|>", "<|end_of_thought|>")).score(
        Problem("2 + 3?", "5", "number"), [Response(said, "stop", True)]
    )
    assert verdict["outcome"] == "correct"
