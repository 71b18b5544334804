from __future__ import annotations

from dataclasses import replace

import pytest
from runs_builder import BASELINE, CARD, PROMPT, SETTINGS, chain, fill, rollout

from cotlab.chains.score import Score
from cotlab.chains.step import Step
from cotlab.errors import RunError
from cotlab.runs import OutcomeRow, Run


@pytest.fixture
def scored(run: Run) -> Run:
    fill(run)
    return run


def test_scores_of_each_kind(scored: Run) -> None:
    cut = chain(rollout())
    assert [score.subject_id for score in scored.scores("rollout")] == [rollout(sample_idx=i).id for i in range(4)]
    assert list(scored.scores("step", "tiny-oracle/1")) == [
        Score("step", f"{cut.id}/1", "tiny-oracle/1", {"category": "active_computation"})
    ]
    assert list(scored.scores("prefix")) == [Score("prefix", PROMPT.id, "value/1", {"value": 0.5})]
    assert list(scored.scores("prefix", "math/1")) == [] == list(scored.scores("rollout", "nobody/1"))
    assert scored.scorers() == ["math/1", "tiny-oracle/1", "value/1"]


def test_scoring_again_replaces(scored: Run) -> None:
    scored.add_scores([Score("rollout", rollout().id, "math/1", {"outcome": "unparsable", "answer": "\ud800\0好"})])
    assert next(scored.scores("rollout")).value == {"outcome": "unparsable", "answer": "\ud800\0好"}
    assert len(list(scored.scores("rollout"))) == 4


def test_a_subject_must_be_there(scored: Run) -> None:
    cut = chain(rollout())
    for kind, subject in (
        ("rollout", "nope"),
        ("prefix", "nope"),
        ("step", f"{cut.id}/3"),
        ("step", f"{cut.id}/-1"),
        ("step", "x"),
    ):
        with pytest.raises(RunError, match="is not in the run"):
            scored.add_scores([Score("rollout", rollout().id, "new/1", {}), Score(kind, subject, "new/1", {})])  # type: ignore[arg-type]
    assert "new/1" not in scored.scorers()
    with pytest.raises(ValueError, match="not JSON compliant"):
        scored.add_scores([Score("rollout", rollout().id, "new/1", {"p": float("nan")})])


def test_unscored(scored: Run) -> None:
    assert list(scored.unscored("math/1")) == []
    assert [r.sample_idx for r in scored.unscored("other/1")] == [0, 1, 2, 3]
    study_id = scored.studies()[0].id
    scored.add_rollouts([rollout(sample_idx=8)], study_id=study_id)
    assert [r.sample_idx for r in scored.unscored("math/1")] == [8]


def test_scoring_while_asking_what_is_unscored(scored: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cotlab.runs.rollouts._PAGE", 1)
    for r in scored.unscored("other/1"):
        scored.add_scores([Score("rollout", r.id, "other/1", {"outcome": "correct"})])
    assert len(list(scored.scores("rollout", "other/1"))) == 4


def test_outcome_rows(scored: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cotlab.runs.scores._PAGE", 3)
    rows = list(scored.outcome_rows("math/1"))
    assert rows[1] == OutcomeRow(
        PROMPT.id, 1, rollout(sample_idx=1).id, "stop", 7, {"answer": "42", "key": "42", "outcome": "correct"}
    )
    same = {
        "settings_id": SETTINGS.id,
        "engine_card_id": CARD.id,
        "intervention_id": BASELINE.id,
        "prefix_id": PROMPT.id,
    }
    assert list(scored.outcome_rows("math/1", **same)) == rows
    assert [row.sample_idx for row in rows] == [0, 1, 2, 3]
    for name in same:
        assert list(scored.outcome_rows("math/1", **{**same, name: "other"})) == []
    assert list(scored.outcome_rows("nobody/1")) == []


def test_chains_come_back(scored: Run) -> None:
    cut = chain(rollout())
    scored.add_chain(cut)
    assert scored.chains() == [cut] == scored.chains(cut.problem_id)
    assert scored.chains("nope") == []


def test_a_chain_without_the_end_of_sequence_token(scored: Run) -> None:
    cut = chain(rollout(sample_idx=1))
    short = replace(cut, response_ids=cut.response_ids[:5], steps=cut.steps[:2], cutter_id="short/1")
    scored.add_chain(short)
    assert scored.chains()[-1] == short


def test_a_chain_must_fit_its_rollout(scored: Run) -> None:
    cut = chain(rollout(sample_idx=1))
    with pytest.raises(RunError, match="rollout nope is not in the run"):
        scored.add_chain(replace(cut, rollout_id="nope"))
    with pytest.raises(RunError, match="has other tokens than its rollout"):
        scored.add_chain(replace(cut, response_ids=(1, 2, 3)))
    with pytest.raises(RunError, match="has other tokens than its rollout"):
        scored.add_chain(replace(cut, prompt_ids=(1, 2, 3)))


def test_a_cutter_that_changed_needs_a_new_version(scored: Run) -> None:
    cut = chain(rollout())
    with pytest.raises(RunError, match="cutter sentences/1 has changed, so give it a new version"):
        scored.add_chain(replace(cut, steps=(Step(0, 0, 7, "all"),)))
