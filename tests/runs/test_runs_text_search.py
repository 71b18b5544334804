from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from runs_builder import fill, rollout

from cotlab.errors import UserError
from cotlab.runs import Run
from cotlab.runs.text_search import AROUND

TEXTS = ("Wait, let me check.", "wait\0what", "Ünd WAIT", "lone \ud800 and wait", "50% of _ [x] ' \"", "")
PARTS = sorted({text[a:b] for text in TEXTS for a in range(len(text)) for b in range(a + 1, len(text) + 1)})


@pytest.fixture
def study(run: Run) -> str:
    study_id = fill(run)
    run.add_rollouts([rollout(sample_idx=50 + i, text=text) for i, text in enumerate(TEXTS)], study_id=study_id)
    return study_id


def lowered(text: str) -> str:
    """A to Z as small letters, the others as they are."""
    return "".join(c.lower() if c.isascii() else c for c in text)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@example("WAIT").via("capitals")
@example("Ü").via("a capital that is kept")
@example("\ud800").via("half of a pair")
@example("\0w").via("NUL")
@example("%").via("a sign of LIKE")
@given(
    st.one_of(*(st.sampled_from([t[a:b] for a in range(len(t)) for b in range(a + 1, len(t) + 1)]) for t in TEXTS[:5]))
)
def test_search_finds_what_python_finds(run: Run, study: str, text: str) -> None:
    if not text.strip():
        return
    wanted = [one for one in run.rollouts() if lowered(text) in lowered(one.text)]
    found, n = run.find_text(text, most=3)
    assert n == len(wanted) and [row.rollout_id for row in found] == [one.id for one in wanted[:3]]
    for row, one in zip(found, wanted, strict=False):
        assert row.at == lowered(one.text).find(lowered(text)) and lowered(row.said) == lowered(text)
        assert one.text[max(0, row.at - AROUND) :].startswith(row.before + row.said + row.after)


def test_blank_words_are_one_line(run: Run, study: str) -> None:
    for text in ("", " \n"):
        with pytest.raises(UserError, match="nothing to search for"):
            run.find_text(text)
    assert run.find_text("nobody says this") == ([], 0)
