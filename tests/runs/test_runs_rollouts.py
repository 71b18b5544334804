from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runs_builder import BASELINE, CARD, CONDITION, PROBLEM, PROMPT, SETTINGS, fill, rollout

from cotlab.chains.rollout import Rollout
from cotlab.errors import RunError
from cotlab.runs import Run

ANY_TEXT = st.text(st.characters(codec=None, categories=None))
CHILD = PROMPT.extend((20, 21))


@pytest.fixture
def study(run: Run) -> str:
    study_id = fill(run)
    run.add_prefix(CHILD, PROBLEM.id, parent=PROMPT)
    return study_id


def test_a_rollout_that_is_there_is_left_as_it_is(run: Run, study: str) -> None:
    assert run.add_rollouts([rollout(sample_idx=3, seed=9), rollout(sample_idx=4)], study_id=study, wave=2) == 1
    assert run.rollout(rollout(sample_idx=3).id) == rollout(sample_idx=3)
    assert [row.wave for row in run.rollouts(bodies=False)] == [0, 0, 0, 0, 2]


def test_a_call_is_one_transaction(run: Run, study: str) -> None:
    def breaks() -> Iterator[Rollout]:
        yield rollout(sample_idx=10)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.add_rollouts(breaks(), study_id=study)
    with pytest.raises(RunError, match="settings unheard-of is not in the run .*: add it first"):
        run.add_rollouts([rollout(sample_idx=11), replace(rollout(), settings_id="unheard-of")], study_id=study)
    assert len(list(run.rollouts())) == 4
    with pytest.raises(RunError, match="study nope is not in the run"):
        run.add_rollouts([rollout(sample_idx=10)], study_id="nope")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    text=ANY_TEXT,
    tokens=st.none() | st.lists(st.tuples(st.integers(0, 2**31 - 1), st.floats(width=32, max_value=0.0))),
    idx=st.integers(100, 10**9),
    seed=st.integers(0, 2**62 - 1),
)
def test_rollouts_come_back_as_they_were(
    run: Run, study: str, text: str, tokens: list[tuple[int, float]] | None, idx: int, seed: int
) -> None:
    ids = None if tokens is None else tuple(token for token, _ in tokens)
    logprobs = None if tokens is None else tuple(value for _, value in tokens)
    stored = replace(rollout(sample_idx=idx, seed=seed), text=text, token_ids=ids, logprobs=logprobs)
    if run.add_rollouts([stored], study_id=study):
        assert run.rollout(stored.id) == stored


def test_an_import_may_have_text_only(run: Run, study: str) -> None:
    imported = replace(rollout(sample_idx=9), token_ids=None, logprobs=None, provenance="imported:jsonl")
    run.add_rollouts([imported], study_id=study)
    assert run.rollout(imported.id) == imported
    assert list(run.rollouts(bodies=False))[-1].n_tokens == 0


def test_have_counts_missing(run: Run, study: str) -> None:
    run.add_rollouts([rollout(CHILD, idx) for idx in (0, 2, 5)], study_id=study)
    assert run.have(CHILD.id, BASELINE.id, SETTINGS.id, CARD.id) == {0, 2, 5}
    assert run.have(CHILD.id, "steered", SETTINGS.id, CARD.id) == set()
    assert run.counts(*CONDITION) == {PROMPT.id: 4, CHILD.id: 3}
    assert run.counts(*CONDITION, below=3) == {PROMPT.id: 3, CHILD.id: 2}
    assert run.counts(SETTINGS.id, "another card", BASELINE.id) == {}
    lacking = list(run.missing(["unheard-of", CHILD.id, PROMPT.id], 4, *CONDITION))
    assert lacking == [*(("unheard-of", idx) for idx in range(4)), (CHILD.id, 1), (CHILD.id, 3)]
    assert list(run.missing([PROMPT.id], 4, *CONDITION)) == []


def test_rollouts_are_chosen_and_streamed(run: Run, study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cotlab.runs.rollouts._PAGE", 2)
    run.add_rollouts([rollout(CHILD, idx) for idx in range(3)], study_id=study)
    assert [r.sample_idx for r in run.rollouts()] == [0, 1, 2, 3, 0, 1, 2]
    assert [r.prefix_id for r in run.rollouts(prefix_id=CHILD.id)] == [CHILD.id] * 3
    assert len(list(run.rollouts(problem_id=PROBLEM.id, intervention_id=BASELINE.id))) == 7
    assert list(run.rollouts(problem_id="nope")) == []
    row = next(run.rollouts(bodies=False))
    assert (row.id, row.n_tokens, row.study_id) == (rollout().id, 7, study)


def test_writing_while_reading(run: Run, study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cotlab.runs.rollouts._PAGE", 1)
    seen = []
    for found in run.rollouts():
        seen.append(found.sample_idx)
        run.add_rollouts([rollout(CHILD, found.sample_idx)], study_id=study)
    assert seen == [0, 1, 2, 3]
    assert len(list(run.rollouts())) == 8


def test_a_failure_is_missing_not_a_rollout(run: Run, study: str) -> None:
    run.add_attempts([(CHILD.id, BASELINE.id, SETTINGS.id, CARD.id, 0, "out of memory\ud800")], study)
    (attempt,) = run.attempts()
    assert (attempt.prefix_id, attempt.sample_idx, attempt.error, attempt.study_id) == (
        CHILD.id,
        0,
        "out of memory\ud800",
        study,
    )
    assert list(run.missing([CHILD.id], 1, *CONDITION)) == [(CHILD.id, 0)]


def test_an_unknown_rollout(run: Run) -> None:
    with pytest.raises(RunError, match="rollout nope is not in the run"):
        run.rollout("nope")
