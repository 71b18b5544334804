"""A gold answer that was wrong is mended in the run: what was sampled stays, and is judged again."""

import json
import re
import sqlite3
from pathlib import Path

import pytest
from command_line import document, fault, shown

from cotlab.errors import DataError, RunError, UserError
from cotlab.runs import Run, merge_runs, verify_run
from cotlab.sampling import FinishedStudy, StudyConfig, mend_gold, run_study, with_answer


def study(run: Path, **more: object) -> FinishedStudy:
    given = {"model": "markov:staircase", "question": "Climb.", "answer": "4", "run": run, "n": 10, "base": ("random",)}
    return run_study(StudyConfig.of(**{**given, **more}))


def facts(run: Path) -> list[object]:
    with sqlite3.connect(run / "run.sqlite") as db:
        tables = ("prefix", "rollout", "rollout_body", "chain", "step")
        return [db.execute(f"SELECT * FROM {table}").fetchall() for table in tables]


def outcomes(run: Path) -> dict[str, dict[str, int]]:
    with Run.open(run) as store:
        return store.summary().outcomes


def test_a_mended_run_is_what_one_with_the_right_answer_would_be(tmp_path: Path) -> None:
    wrong, right = tmp_path / "wrong", tmp_path / "right"
    study(wrong)
    study(right, answer="7")
    before, judged = facts(wrong), outcomes(wrong)
    with pytest.raises(RunError, match=r"gold answer '4'.*gold answer '7'.*`cotlab runs mend .*wrong --answer") as said:
        study(wrong, answer="7")
    assert "\n" not in str(said.value)
    with Run.open(wrong, writable=True) as run:
        assert len(run.problems()) == 1  # the refused one is not there
        done = mend_gold(run, [with_answer(run, "7")])
        assert [(old.answer, new.answer) for old, new in done.problems] == [("4", "7")] and not done.left
        assert "'4'" in run.notes()[0].text
        old_id = done.problems[0][0].id
    assert facts(wrong) == before and verify_run(wrong) == []
    after = outcomes(wrong)
    assert after["answers/1"] == outcomes(right)["answers/1"] != judged["answers/1"]
    assert after[f"former:{old_id[:8]}:answers/1"] == judged["answers/1"]
    assert study(wrong, answer="7").sampled_now == 0
    assert merge_runs([wrong, right], tmp_path / "both").conflicts == ()
    with Run.open(wrong, writable=True) as run:
        assert mend_gold(run, [with_answer(run, "7")]).problems == ()


def test_a_problem_file_mends_answers_and_checkers(tmp_path: Path) -> None:
    study(tmp_path / "run")
    own = tmp_path / "own.py"
    own.write_text("def judge(problem, response):\n    return problem.answer in response.text\n")
    shown("score", tmp_path / "run", f"{own}:judge")
    lines = [{"question": "Climb.", "answer": "7", "checker": "number"}, {"question": "Another?", "answer": "1"}]
    (tmp_path / "gold.jsonl").write_text("\n".join(map(json.dumps, lines)))
    told = document("runs", "mend", tmp_path / "run", "--gold", tmp_path / "gold.jsonl")
    assert [(row["from"], row["to"]) for row in told["mended"]] == [("4", "7")]
    (left,) = told["left"]
    assert re.fullmatch(r"judge@\w+", left) and told["scored_now"].keys() == {"answers/1"}
    with Run.open(tmp_path / "run") as run:
        (problem,) = run.problems().values()
        assert (problem.checker, problem.name) == ("number", "question")
        assert run.scorers()[-1] != f"former:{left}" and run.scorers()[0].startswith("former:")
    assert study(tmp_path / "run", question=None, answer=None, problems=str(tmp_path / "gold.jsonl"), n_problems=1)
    assert "either --answer" in fault("runs", "mend", tmp_path / "run")


def test_what_cannot_be_mended_is_one_line(tmp_path: Path) -> None:
    lines = [{"question": f"{n}?", "answer": n, "checker": "number"} for n in (1, 2)]
    (tmp_path / "two.jsonl").write_text("\n".join(map(json.dumps, lines)))
    study(tmp_path / "run", question=None, answer=None, problems=str(tmp_path / "two.jsonl"))
    with Run.open(tmp_path / "run", writable=True) as run:
        with pytest.raises(UserError, match="has 2 problems. Choose one with --problem: two/1, two/2"):
            with_answer(run, "7")
        with pytest.raises(DataError, match="'two/2': gold answer 'abc' is not a number"):
            with_answer(run, "abc", "two/2")
        (mended,) = mend_gold(run, [with_answer(run, "7", "two/2")]).problems
        assert mended[1].question == "2?"
        with pytest.raises(UserError, match="none of 1 problems with an answer is in"):
            mend_gold(run, [type(mended[1])("3?", "7")])


def test_an_unusable_gold_answer_is_refused_before_the_model_is_loaded(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "own.jsonl").write_text('{"question": "markov", "answer": "abc", "checker": "number"}')
    monkeypatch.setattr("cotlab.sampling.open_study.open_engine", lambda *a, **k: pytest.fail("the model was loaded"))
    with pytest.raises(DataError, match="line 1 gold answer 'abc' is not a number"):
        study(tmp_path / "run", question=None, answer=None, problems=str(tmp_path / "own.jsonl"))
    assert not (tmp_path / "run").exists()
