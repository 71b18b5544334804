"""Masks do not depend on how a sequence is split, and are decided by places and past tokens alone."""

from hypothesis import given
from hypothesis import strategies as st

from cotlab.chains.think import DEFAULT_TAGS
from cotlab.interventions import Where
from cotlab.interventions.masks import MaskState, TokenRule

VOCABULARY = ["a", "b", "\n", ". ", "Wait", " Wait", "<think>", "</think>", "W", "ait"]
IDS = {piece: i for i, piece in enumerate(VOCABULARY)}

wheres = st.sampled_from(
    [
        Where(),
        Where("prompt"),
        Where("response"),
        Where("new"),
        Where("last", n=2),
        Where("think"),
        Where("response", after=3),
        Where(step_ends=("\n", ".")),
        Where("think", trigger=("Wait",), hold=3),
        Where("new", trigger=("Wait",), hold=2, step_ends=("\n",)),
    ]
)
sequences = st.lists(st.integers(0, len(VOCABULARY) - 1), min_size=3, max_size=24)


def encode(text):
    """Longest piece first."""
    ids = []
    while text:
        piece = max((piece for piece in VOCABULARY if text.startswith(piece)), key=len, default=None)
        if piece is None:
            text = text[1:]
            continue
        ids.append(IDS[piece])
        text = text[len(piece) :]
    return ids


def state(where, n_prompt, n_prefix):
    rule = TokenRule.of(where, encode, lambda: VOCABULARY, DEFAULT_TAGS)
    rule = rule and TokenRule.from_json(rule.to_json())  # as it is sent to workers
    return MaskState(where.place(n_prompt, n_prefix), rule)


@given(wheres, sequences, st.data())
def test_pieces_again_and_copies_give_what_the_whole_gives(where, ids, data):
    n_prompt = data.draw(st.integers(1, len(ids)))
    n_prefix = data.draw(st.integers(n_prompt, len(ids)))
    whole = state(where, n_prompt, n_prefix).read(0, len(ids), ids).tolist()
    pieces, at, found = state(where, n_prompt, n_prefix), 0, []
    while at < len(ids):
        n = data.draw(st.integers(1, len(ids) - at))
        found += pieces.read(at, n, ids[at : at + n]).tolist()
        at += n
        if data.draw(st.booleans()):  # computed again from somewhere, as after a preemption
            back = data.draw(st.integers(0, at))
            assert pieces.read(back, at - back, ids[back:at]).tolist() == whole[back:at]
        pieces = pieces.copy()
    assert found == whole
    assert pieces.count() == sum(whole) and pieces.count(2) == sum(whole[:2])


@given(wheres, sequences, sequences, st.data())
def test_what_comes_later_changes_nothing(where, ids, later, data):
    n_prompt = data.draw(st.integers(1, len(ids)))
    before = state(where, n_prompt, len(ids)).read(0, len(ids), ids).tolist()
    after = state(where, n_prompt, len(ids)).read(0, len(ids) + len(later), ids + later).tolist()
    assert after[: len(ids)] == before


def test_think_part_and_triggers_word_by_word():
    said = ["a", "<think>", "a", " Wait", "b", "\n", "</think>", "b", "W", "ait", "a"]
    ids = [IDS[piece] for piece in said]

    def holds(where):
        return [said[i] for i, on in enumerate(state(where, 1, 2).read(0, len(ids), ids)) if on]

    assert holds(Where("think")) == ["a", " Wait", "b", "\n"]
    assert holds(Where(trigger=("Wait",), hold=2)) == [" Wait", "b"]
    assert holds(Where("think", step_ends=("\n",))) == ["\n"]
    assert holds(Where("response", after=8)) == ["W", "ait", "a"]
    assert holds(Where("new")) == said[1:]
    assert holds(Where("last", n=1)) == ["<think>"]
    assert holds(Where("prompt")) == ["a"]
