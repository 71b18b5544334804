import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tokenizers import byte_level

from cotlab.chains.cutting import CUTTERS, get_cutter
from cotlab.errors import UserError

TEXT_CUTTERS = [cutter for cutter in CUTTERS if cutter.rule]

# Each row is a text with | where it is to be cut.
SENTENCES = {
    "plain": "So it is now.| Then we go on.| Right, is it so?| Yes, that works!",
    "decimals": "Pi is 3.14 and e is 2.718.| That is all.",
    "trailing decimal point": "We get 318.309..., then 319.| That is all.",
    "abbreviations": "Take a few, e.g. two or i.e. some, vs. none.| Dr. Who agrees with Mr. X etc. and goes.",
    "numbered references": "By Eq. (2) and Fig. 3 it holds.| It is in No. 5 of them.",
    "initials": "It was J. R. Smith who said so.| Point A is on B.| Then we go.",
    "list numbers": "We do these:\n|1. Take two of them.\n|2. Add three to it.",
    "list number in the line": "Take five of them.| 2. Add three to it.| (3) Stop there.",
    "step headings": "Step 1. Take two of them.\n\n|**Step 2.** Take three of them.",
    "bullets": "The parts are\n|- one half\n|- one third\n|* one sixth",
    "ellipsis": "Hmm... let me see, 1, 2, ... , 10 are ten.| Wait for it...| Now I see it.",
    "ellipsis character": "And so on… until nine.| It is done…| Next one is here.",
    "inline formula": "We know $f(x) = 1. 5 + x. Then$ holds.| And \\(a. B. C\\) too.",
    "prices": "It costs $5.| He has $10 more.",
    "display formula": "So\n\\[ x = 1.\n\nY = 2. Z \\]\n|Then we go on.",
    "display formula in a sentence": "So\n\\[ x = 1 \\]\nwhich is fine.| Good for us.",
    "formula with full stop": "We have $x = 3.$| Then we go.",
    "box": "It is \\boxed{Mr. A. Then \\text{B. C} }.| That is all there is.",
    "code": "Run this now:\n|```python\nx = 1. \n\ny = 2. Z\n```\n|Then it prints.",
    "inline code": "Call `a. B` now.| Then call `c`.",
    "quotes": 'He said "Is it so?" and left.| "It is so."| Then he came.| “Why is it?”| She went off.',
    "brackets": "It is so (see above.) and more.| (It is so.)| Then it was.",
    "bold": "**This is a note.**| And then we go.",
    "chinese": "我们先算一下。|对吗？|对！|“好的。”|答案是五。",
    "factorials": "There are 4! / (2! * 2!) ways, so 5! ways or n! of them.| It is 6!| Then we go.",
    "question marks": "Is x = ? in it?| Well then?!| So be it then.",
    "paragraphs": "First this\n\n|then that:\n\n|1 + 1 = 2\n\n\n|and so on",
    "spaces lead": "One is here.|  Two is here. \n|  Three is here.",
    "line breaks in a sentence": "This goes\non here.\n|Then it stops.",
    "interjections": "Hmm. Wait, no.| We go on. Yes.\n\n|Okay. So be it. Correct.",
    "lone interjection": "It is so.\n\n|Hmm.\n\n|So it is.",
    "lead-ins": "So,\n\n2 = 2.\n\n|Layer 2:\n\nit is 13.",
    "no white space": "See a.b.c and x.y!| It is here.",
    "think tags": "One is here.\n|</think>\n\n|Two is here.",
    "think tag after text": "One is here|</think>|Two is here.",
    "opened by the model": "<think>\n|One is here.| It is two.\n|</think>\n\n|Two.",
    "short sums": "2 + 2 = 4.\n|1 + 1 = 2.\n|3 * 3 = 9, no.",
}


@pytest.mark.parametrize("marked", SENTENCES.values(), ids=SENTENCES.keys())
def test_sentences(marked):
    text = marked.replace("|", "")
    ends = get_cutter("sentences/1").cut_text(text)
    assert _mark(text, ends) == marked


@pytest.mark.parametrize(
    ("name", "marked"),
    [
        ("lines/1", "One. Two.\n|Three\n\n|  Four|</think>|Five"),
        ("lines/1", "\n\nOne\n|Two\n"),
        ("paragraphs/1", "One. Two.\nThree\n\n|  Four\n \n|Five\n"),
        ("paragraphs/1", "One\n\n|```\na\n\nb\n```\n\n|Two"),
        ("thought-anchors/1", "1. Start here.| Hmm. Then go!| On we go now.\n\n|Correct.\n\nNext one is here. Yes."),
    ],
)
def test_other_cutters(name, marked):
    text = marked.replace("|", "")
    assert _mark(text, get_cutter(name).cut_text(text)) == marked


@given(st.text(alphabet="ab.?!… \n$\\[]{}()`1*-。？</think>", max_size=80))
@settings(deadline=None, max_examples=400)
@pytest.mark.parametrize("cutter", TEXT_CUTTERS, ids=lambda cutter: cutter.id)
def test_steps_join_to_the_text_and_none_is_blank(cutter, text):
    ends = cutter.cut_text(text)
    assert list(ends) == sorted(set(ends))
    assert (ends[-1] if ends else 0) == len(text)
    starts = [0, *ends]
    if text.strip():
        assert all(text[a:b].strip() for a, b in zip(starts, ends, strict=False))


@given(st.lists(st.integers(0, 425), max_size=60))
@settings(deadline=None, max_examples=200)
@pytest.mark.parametrize("cutter", CUTTERS, ids=lambda cutter: cutter.id)
def test_token_spans_join_to_the_ids(cutter, ids):
    steps = cutter.cut(ids, byte_level())
    assert [i for step in steps for i in ids[step.start : step.end]] == ids
    assert [step.idx for step in steps] == list(range(len(steps)))
    assert all(step.start < step.end for step in steps)
    assert "".join(step.text for step in steps) == byte_level().decode(ids)


def test_a_token_that_holds_a_cut_goes_to_the_step_that_it_ends():
    steps = get_cutter().cut_pieces(["It is", " so.", "\n\nThen", " it", " goes. Then", " stop"])
    assert [step.text for step in steps] == ["It is so.\n\nThen", " it goes. Then", " stop"]
    assert [(step.start, step.end) for step in steps] == [(0, 3), (3, 5), (5, 6)]


def test_real_merges_over_the_sentence_end():
    tokenizer = byte_level()
    ids = tokenizer.encode("Did he ask “why?” No. So it is.\n\nThen stop.")
    names = tokenizer.hf.convert_ids_to_tokens(ids)
    assert any(name.endswith(".ĊĊ") for name in names), names
    steps = get_cutter().cut(ids, tokenizer)
    assert [step.text for step in steps] == ["Did he ask “why?”", " No. So it is.\n\n", "Then stop."]


def test_bytes_of_the_next_character_lead_the_next_step():
    steps = get_cutter().cut_pieces(["好", "。", "", "", "🜚 ok"])
    assert [(step.start, step.end) for step in steps] == [(0, 2), (2, 5)]


def test_an_end_token_stays_with_the_last_step():
    assert [(s.start, s.end) for s in get_cutter().cut_pieces(["It is one.", " So", " it is two.", ""])] == [
        (0, 1),
        (1, 4),
    ]
    assert [(s.start, s.end) for s in get_cutter().cut_pieces([""])] == [(0, 1)]
    assert get_cutter().cut_pieces([]) == ()


def test_thoughts_and_answer_are_never_in_one_step():
    tokenizer = byte_level()
    ids = tokenizer.encode("I think $x. Then</think>\n\nIt$ is five.")
    for cutter in TEXT_CUTTERS:
        texts = [step.text for step in cutter.cut(ids, tokenizer)]
        assert "</think>\n\n" in texts, cutter.id


@pytest.mark.parametrize("cutter", TEXT_CUTTERS, ids=lambda cutter: cutter.id)
@pytest.mark.parametrize(
    "unit",
    [
        "So we go on. ",
        "\\[",
        "$",
        "\\boxed{",
        "```\n",
        "`",
        "\n",
        " ",
        "<think>",
        "a\n\n",
        ".",
        "Hmm. ",
        "\\begin{align}",
        " \n",
    ],
)
def test_time_is_linear_in_the_length(cutter, unit):
    text = (unit * 60_000)[:60_000]
    start = time.process_time()
    cutter.cut_text(text)
    assert time.process_time() - start < 2


def test_16k_tokens_take_well_under_a_second():
    pieces = ["So", " it", " is", " 3.5", " and", " $x. Y$", ".", "\n\n"] * 2_048
    start = time.process_time()
    steps = get_cutter().cut_pieces(pieces)
    assert time.process_time() - start < 0.5
    assert len(steps) == 2_048


def test_cutters_by_name():
    assert get_cutter("sentences").id == get_cutter("sentences/1").id == get_cutter().id == "sentences/1"
    with pytest.raises(UserError, match=r"no cutter is named 'words'\. Choose one of sentences/1"):
        get_cutter("words")
    with pytest.raises(ValueError, match="cuts tokens"):
        get_cutter("tokens/1").cut_text("a b")


def _mark(text, ends):
    return "|".join(text[a:b] for a, b in zip([0, *ends], ends, strict=False))
