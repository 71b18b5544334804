"""Edits as data, and what they do to token ids."""

import pytest

from cotlab.chains.chain import Chain
from cotlab.chains.cutting import get_cutter
from cotlab.engines.markov_specs import staircase
from cotlab.engines.markov_tokens import MarkovTokenizer
from cotlab.errors import UserError
from cotlab.identity import canonical_json
from cotlab.interventions import (
    AddToPrompt,
    DeleteStep,
    ForceAnswer,
    InsertText,
    ReplaceStep,
    apply_edits,
    edits_from_json,
)

TOKENIZER = MarkovTokenizer(staircase())
EDITS = (
    InsertText(1, " Wait.\n"),
    DeleteStep(0),
    ReplaceStep(2, " Hm.\n"),
    ForceAnswer("</think>\n\\boxed{"),
    AddToPrompt(" (A hint.)", "Climb."),
)


@pytest.fixture(scope="module")
def chain():
    prompt = tuple(TOKENIZER.encode("Climb. Go"))
    response = tuple(TOKENIZER.encode(" Step A.\n Step B.\n Step C.\n"))
    steps = get_cutter("lines").cut(response, TOKENIZER)
    return Chain("p", "r", prompt, response, "lines/1", steps, "given")


def apply(chain, keep, *edits):
    return apply_edits(chain, keep, edits, TOKENIZER.encode, TOKENIZER.pieces)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.kind)
def test_an_edit_is_data(edit):
    assert edits_from_json([edit.to_json()]) == (edit,)
    assert hash(edit) == hash(edits_from_json([edit.to_json()])[0])
    assert canonical_json(edit.to_json()) and edit.to_json()["policy"] == "off"
    with pytest.raises((AttributeError, TypeError)):
        edit.kind = "other"


def test_ids_tell_edits_apart():
    assert len({edit.id for edit in (*EDITS, InsertText(2, " Wait.\n"), InsertText(1, " wait.\n"))}) == 7


@pytest.mark.parametrize(
    ("keep", "edits", "text"),
    [
        (2, (InsertText(2, " Wait.\n"),), " Step A.\n Step B.\n Wait.\n"),
        (2, (InsertText(0, " Wait.\n"),), " Wait.\n Step A.\n Step B.\n"),
        (3, (DeleteStep(1),), " Step A.\n Step C.\n"),
        (3, (ReplaceStep(1, " Hm.\n"), DeleteStep(0)), " Hm.\n Step C.\n"),
        (1, (ForceAnswer("</think>\n\\boxed{"),), " Step A.\n</think>\n\\boxed{"),
        (0, (), ""),
    ],
)
def test_kept_tokens_stay_and_only_new_text_is_tokenised(chain, keep, edits, text):
    found = apply(chain, keep, *edits)
    assert found.base == chain.prefix(keep) and found.prefix.prompt_ids == chain.prompt_ids
    assert found.kept_text == text == TOKENIZER.decode(found.prefix.kept_ids)
    assert found.spec == [edit.to_json() for edit in edits]


def test_tokens_that_no_tokenizer_would_give_are_kept():
    """A chain whose ids are not what encoding its text gives: bytes in the place of symbols."""
    response = tuple(b" Step A.\n Step B.\n")
    odd = Chain("p", "r", (1,), response, "lines/1", get_cutter("lines").cut(response, TOKENIZER), "given")
    found = apply(odd, 2, ReplaceStep(0, " Step A.\n"))
    assert found.prefix.kept_ids == (*TOKENIZER.encode(" Step A.\n"), *b" Step B.\n")


def test_a_hint_goes_behind_the_question(chain):
    found = apply(chain, 1, AddToPrompt(" (A hint.)", "Climb."))
    assert found.prompt_text == "Climb. (A hint.) Go" == TOKENIZER.decode(found.prefix.prompt_ids)
    assert found.prefix.kept_ids == chain.prefix(1).kept_ids


@pytest.mark.parametrize(
    ("keep", "edits", "said"),
    [
        (2, (DeleteStep(2),), "step 2"),
        (2, (InsertText(-1, "a"),), "step -1"),
        (2, (DeleteStep(1), ReplaceStep(1, "a")), "edited twice"),
        (2, (InsertText(0, ""),), "empty text"),
        (2, (AddToPrompt("a", "not there"),), "not there"),
        (2, (AddToPrompt("a", ""),), "does not hold"),
    ],
)
def test_what_cannot_be_is_one_line(chain, keep, edits, said):
    with pytest.raises(UserError, match=said):
        apply(chain, keep, *edits)


@pytest.mark.parametrize(
    "spec",
    [
        None,
        [{"kind": "explode"}],
        [{"kind": "delete", "step": "1"}],
        [{"kind": "delete", "step": True}],
        [{"kind": "insert", "before": 1}],
        [{"kind": "delete", "step": 1, "more": 2}],
    ],
)
def test_a_spec_that_is_something_else_is_refused(spec):
    with pytest.raises(UserError, match="expected"):
        edits_from_json(spec)
