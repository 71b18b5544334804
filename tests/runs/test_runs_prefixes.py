from __future__ import annotations

import pytest
from runs_builder import IDENTITY, PROBLEM, PROMPT, chain, rollout

from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.errors import RunError
from cotlab.runs import EdgeRow, NewPrefix, PrefixRow, Run


@pytest.fixture
def rooted(run: Run) -> Run:
    run.add_problems([PROBLEM])
    run.add_prefix(PROMPT, PROBLEM.id, text="Q: ")
    return run


def stored_bytes(run: Run, prefix: Prefix) -> int:
    return int(run._db.query("SELECT length(ids) FROM prefix WHERE id = ?", (prefix.id,))[0][0])


def test_a_chain_of_prefixes_stores_each_token_once(rooted: Run) -> None:
    cut = chain(rollout())
    rooted.add_chain_prefixes(cut)
    rooted.add_chain_prefixes(cut)
    prefixes = [cut.prefix(n) for n in range(4)]
    assert [rooted.prefix(prefix.id) for prefix in prefixes] == prefixes
    assert [rooted.kept_text(prefix.id) for prefix in prefixes] == ["", "Six ", "Six times ", "Six times seven."]
    assert {rooted.prompt_text(prefix.id) for prefix in prefixes} == {"Q: "}
    assert [stored_bytes(rooted, prefix) for prefix in prefixes] == [12, 8, 12, 8]
    assert list(rooted.prefixes()) == [
        PrefixRow(PROMPT.id, None, PROBLEM.id, 3, 3, "root"),
        PrefixRow(prefixes[1].id, PROMPT.id, PROBLEM.id, 3, 5, "continue"),
        PrefixRow(prefixes[2].id, prefixes[1].id, PROBLEM.id, 3, 8, "continue"),
        PrefixRow(prefixes[3].id, prefixes[2].id, PROBLEM.id, 3, 10, "continue"),
    ]
    assert list(rooted.prefixes("no such problem")) == []


def test_an_edit_shares_the_tokens_before_it(rooted: Run) -> None:
    cut = chain(rollout())
    rooted.add_chain_prefixes(cut)
    edited = cut.prefix(1).extend((77, 78))
    rooted.add_prefix(edited, PROBLEM.id, parent=cut.prefix(2), kind="edit", spec={"step": 1}, text="Six plus ")
    assert rooted.prefix(edited.id) == edited
    assert rooted.kept_text(edited.id) == "Six plus "
    assert stored_bytes(rooted, edited) == 8
    assert list(rooted.edges())[-1] == EdgeRow(cut.prefix(2).id, edited.id, "edit", {"step": 1})
    assert list(rooted.prefixes())[-1].parent_id == cut.prefix(2).id


def test_text_that_does_not_go_on_from_the_tokens_before_it(rooted: Run) -> None:
    """A prefix cut inside a character: its own text ends in U+FFFD, the next one's does not."""
    broken = PROMPT.extend((30,))
    whole = broken.extend((31,))
    rooted.add_prefix(broken, PROBLEM.id, parent=PROMPT, text="\ufffd")
    rooted.add_prefix(whole, PROBLEM.id, parent=broken, text="好")
    assert rooted.prefix(whole.id) == whole
    assert (rooted.kept_text(broken.id), rooted.kept_text(whole.id)) == ("\ufffd", "好")


def test_an_edited_prompt_shares_nothing(rooted: Run) -> None:
    hinted = Prefix((10, 11, 12, 13), 4)
    rooted.add_prefix(hinted, PROBLEM.id, parent=PROMPT, kind="edit", spec="hint", text="Q: hint ")
    assert rooted.prefix(hinted.id) == hinted
    assert (rooted.kept_text(hinted.id), rooted.prompt_text(hinted.id)) == ("", "Q: hint ")


def test_one_prefix_may_come_about_in_several_ways(rooted: Run) -> None:
    other, child = PROMPT.extend((40,)), PROMPT.extend((41,))
    rooted.add_prefixes(
        [
            NewPrefix(child, PROBLEM.id),
            NewPrefix(other, PROBLEM.id),
            NewPrefix(child, PROBLEM.id, PROMPT, "continue"),
            NewPrefix(child, PROBLEM.id, other, "edit"),
            NewPrefix(child, PROBLEM.id, other, "edit"),
        ]
    )
    assert [(edge.parent_id, edge.kind) for edge in rooted.edges()] == [(PROMPT.id, "continue"), (other.id, "edit")]
    assert {row.id: row.kind for row in rooted.prefixes()} == {
        PROMPT.id: "root",
        other.id: "root",
        child.id: "continue",
    }


def test_a_continuation_must_go_on_from_its_parent(rooted: Run) -> None:
    for prefix in (Prefix((10, 11, 99, 20), 3), PROMPT, Prefix((10, 11, 12, 20), 4)):
        with pytest.raises(ValueError, match="does not go on from"):
            rooted.add_prefix(prefix, PROBLEM.id, parent=PROMPT)
    with pytest.raises(ValueError, match="only a root has none"):
        rooted.add_prefix(PROMPT, PROBLEM.id, kind="edit")


def test_what_is_not_there(rooted: Run) -> None:
    with pytest.raises(RunError, match="prefix nope is not in the run"):
        rooted.prefix("nope")
    with pytest.raises(RunError, match="problem nope is not in the run"):
        rooted.add_prefix(Prefix((1,), 1), "nope")
    with pytest.raises(RunError, match="is not in the run .*: add it first"):
        rooted.add_prefix(Prefix((1, 2), 1), PROBLEM.id, parent=Prefix((1,), 1))
    silent = PROMPT.extend((50,))
    rooted.add_prefix(silent, PROBLEM.id, parent=PROMPT)
    with pytest.raises(RunError, match=f"the text of prefix {silent.id} is not in the run"):
        rooted.kept_text(silent.id)


def test_two_problems_cannot_share_a_prompt(rooted: Run) -> None:
    other = Problem("What is 6 × 7?", "43")
    rooted.add_problems([other])
    with pytest.raises(RunError, match=f"belongs to problem {PROBLEM.id} .gold answer '42'., not {other.id}"):
        rooted.add_prefix(PROMPT, other.id)


def test_many_prefixes_come_in_pages(rooted: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cotlab.runs.prefixes._PAGE", 3)
    rooted.add_prefixes(NewPrefix(PROMPT.extend((i,)), PROBLEM.id, PROMPT, "continue") for i in range(8))
    assert [row.n_tokens for row in rooted.prefixes()] == [3, *[4] * 8]
    assert len(list(rooted.edges())) == 8
    assert rooted.identity.model == IDENTITY.model
