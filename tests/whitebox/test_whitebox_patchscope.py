"""Readings of hidden states: exact where the truth is exact, and on the tiny reasoner's sums."""

import pytest
import torch
from inside_small import inside_of, random_model, tokens

from cotlab.errors import DataError
from cotlab.interventions import HookPoint
from cotlab.whitebox import Inside, Inspection, patchscope

LAST = HookPoint("resid_post", 1)


@pytest.fixture(scope="module", params=["qwen2", "llama"])
def inside(request):
    return inside_of(random_model(request.param))


def test_the_last_layers_state_says_what_the_source_run_says_next(inside):
    source, prompt = tokens(9), Inspection(tuple(tokens(6, 1)), 5)
    with torch.inference_mode():
        wanted = inside.tokenizer.decode([int(inside.logits(source)[-1].argmax())])
        own = inside.tokenizer.decode([int(inside.logits(prompt.ids)[-1].argmax())])
    found = patchscope(inside, source, 8, LAST, inspection=prompt, n=3, max_tokens=1, temperature=0)
    assert found.texts == (wanted,) * 3 and wanted != own
    assert found.source == found.target == "resid_post:1" and found.position == 8


def test_its_own_state_in_its_own_place_changes_nothing(inside):
    prompt = Inspection(tuple(tokens(6, 1)), 2)
    for point in (HookPoint("resid_pre", 0), HookPoint("resid_mid", 0), LAST):
        found = patchscope(inside, prompt.ids, 2, point, inspection=prompt, n=2, max_tokens=5, temperature=0)
        ids = list(prompt.ids)
        with torch.inference_mode():
            for _ in range(5):
                ids.append(int(inside.logits(ids)[-1].argmax()))
        assert found.texts == (inside.tokenizer.decode(ids[6:]),) * 2


def test_a_state_at_the_embedding_is_the_prompt_with_that_token(inside):
    """Source and target before the first layer: the placeholder becomes the source's token, whatever its position."""
    prompt, source = Inspection(tuple(tokens(6, 1)), 2), tokens(9)
    found = patchscope(
        inside, source, 7, HookPoint("resid_pre", 0), inspection=prompt, n=1, max_tokens=1, temperature=0
    )
    swapped = [*prompt.ids[:2], source[7], *prompt.ids[3:]]
    with torch.inference_mode():
        assert found.texts == (inside.tokenizer.decode([int(inside.logits(swapped)[-1].argmax())]),)


def test_the_tiny_reasoner_holds_the_sum_behind_the_sign():
    """The state at ` = ` says the result of its own sum in the place of another sum's; random states do not."""
    inside = Inside.open("tiny")
    tok = inside.tokenizer
    problem = tok.encode(
        "<｜User｜>Make 78 from 3, 5 and 15 with +, - and *, using each number once.<｜Assistant｜><think>\n"
    )
    start = [*problem, *tok.encode("From 3, 5 and 15 I need 78.\nEach number is used exactly once.\n")]
    prompt = [*start, *tok.encode("Try 3 + 15 = ")]
    inspection = Inspection(tuple(prompt), len(prompt) - 1)
    rates = {"resid_pre:0": [], "resid_post:1": [], "resid_post:3": []}
    for said, result in (
        ("Try 5 * 15 = ", "75"),
        ("Try 5 - 3 = ", "2"),
        ("Try 15 - 5 = ", "10"),
        ("Try 3 * 15 = ", "45"),
    ):
        ids = [*start, *tok.encode(said)]
        for name, found in rates.items():
            reading = patchscope(
                inside, ids, len(ids) - 1, HookPoint.parse(name), inspection=inspection, n=10, max_tokens=1
            )
            assert "=" in reading.token
            found.append(reading.rate(lambda text, result=result: text.strip() == result))
    for name in ("resid_post:1", "resid_post:3"):
        rate, control = (sum(side) / 4 for side in zip(*rates[name], strict=True))
        assert rate >= 0.8 and control <= 0.1
    assert sum(rate for rate, _ in rates["resid_pre:0"]) == 0, "the sign by itself knows nothing of its sum"


def test_prompts_from_text_and_faults_in_one_line(inside):
    tiny = Inside.open("tiny")
    found = Inspection.of(tiny, "Try 3 + 5 = 8 and 7", "8")
    assert tiny.tokenizer.decode([found.ids[found.place]]).strip() == "8"
    with pytest.raises(DataError, match="does not occur"):
        Inspection.of(tiny, "no such thing", "?")
    with pytest.raises(DataError, match="position 9 is not in the run, which has 9 tokens"):
        patchscope(inside, tokens(9), 9, LAST, inspection=Inspection((1, 2), 1))
    with pytest.raises(DataError, match="pattern:0 is not"):
        patchscope(inside, tokens(9), 1, HookPoint("pattern", 0), inspection=Inspection((1, 2), 1))
