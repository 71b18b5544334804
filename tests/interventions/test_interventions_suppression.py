"""What is hidden in a prompt, as data: counted back from the prompt's end."""

import pytest

from cotlab.chains.prefix import Prefix
from cotlab.errors import UserError
from cotlab.interventions import AttentionSuppression
from cotlab.interventions.where import Placement

PREFIX = Prefix(tuple(range(20)), 12)


def test_a_span_of_the_prompt_is_counted_back_from_its_end():
    its = AttentionSuppression.of_prompt(PREFIX, 2, 6)
    assert (its.start, its.end) == (-10, -6)
    assert its.place(12, 20) == Placement(6, None)
    longer = Prefix((99, *PREFIX.token_ids), 13)
    assert AttentionSuppression.of_prompt(longer, 3, 7) == its, "the same tokens, seen from the response"
    later = AttentionSuppression.of_prompt(PREFIX, 2, 6, blind_from=0)
    assert later.place(12, 20) == Placement(12, None) and later.id != its.id
    assert AttentionSuppression.from_json(its.to_json()) == its


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (3, 3), (5, 2), (4, 13)])
def test_no_span_that_is_not_there(start, end):
    with pytest.raises(UserError, match=f"no tokens {start} to {end} to hide in a prompt of 12"):
        AttentionSuppression.of_prompt(PREFIX, start, end)


def test_a_shorter_prompt_does_not_have_it():
    its = AttentionSuppression.of_prompt(PREFIX, 0, 4)
    with pytest.raises(UserError, match="12 tokens before the response cannot be hidden: the prompt has 5"):
        its.place(5, 9)
    with pytest.raises(UserError, match="hidden from tokens behind it"):
        AttentionSuppression.of_prompt(PREFIX, 2, 6, blind_from=-8)
