"""Yes and no: our reading against what people say, the published ones against their published description."""

import pytest

from cotlab.chains import AnswerScorer, Problem, Response, load_scorer
from cotlab.chains.answers import gold_fault
from cotlab.chains.yes_no import YES_NO_RULES, read_yes_no
from cotlab.errors import UserError

SAID = {  # text: (ours, pope, lmms-eval)
    "Yes": ("yes", "yes", "yes"),
    "no": ("no", "no", "no"),
    " NO\n": ("no", "yes", "no"),
    "Yes, there is a dog.": ("yes", "yes", None),
    "No, there is no dog.": ("no", "no", None),
    "**No**": ("no", "yes", None),
    "There is no dog in the image.": ("no", "no", None),
    "There isn't a dog.": ("no", "yes", None),
    "There is not a dog, but a cat.": ("no", "no", None),
    "Yes. There is no cat.": ("yes", "yes", None),
    "I see a cat. No dog.": ("no", "yes", None),
    "There is a cat.": (None, "yes", None),
    "Is it yes or no?": (None, "yes", None),
    "The noise is loud, yesterday as well.": (None, "yes", None),
    "": (None, "yes", None),
}


@pytest.mark.parametrize("text", SAID)
def test_each_rule_reads_what_it_says(text):
    assert tuple(rule(text) for rule in YES_NO_RULES.values()) == SAID[text]


def by_description(answer):
    """evaluate.py of RUCAIBox/POPE, told in its own order of steps with other means."""
    first = answer.partition(".")[0]
    said = ["".join(c for c in word if c != ",") for word in first.split(" ")]
    return "no" if any(word in ("No", "no", "not") for word in said) else "yes"


def test_the_published_rule_agrees_with_its_description_on_many_answers():
    words = ["No", "no,", "not", "Yes", "yes.", "There", "NO", "none", "a dog", ".", ",", "no\n", "nothing"]
    texts = [" ".join((a, b, c)) for a in words for b in words for c in words]
    assert [YES_NO_RULES["pope"](text) for text in texts] == [by_description(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "key", "outcome"),
    [
        ("I look.\n</think>\n\nYes, there is.", "yes", "correct"),
        ("No star? Yes!\n</think>\n\nThe answer is no.", "no", "wrong"),
        ("Hm.\n</think>\n\nA dog.", None, "unparsable"),
        ("Yes, I think", None, "unparsable"),  # the thoughts never end
    ],
)
def test_answers_are_read_behind_the_thoughts(text, key, outcome):
    problem = Problem("Is there a dog in the image?", "yes", "yes-no")
    with AnswerScorer() as scorer:
        found = scorer.verdict(problem, Response(text, thinking=True))
    assert (found.key, found.outcome) == (key, outcome)
    if key is not None:
        (other,) = load_scorer("yes-no").score(problem, [Response(text, thinking=True)])
        assert (other["key"], other["outcome"]) == (key, outcome)


def test_scorers_by_name():
    problem, cut = Problem("Is there a dog?", "No", "yes-no"), Response("There is", "length")
    values = {rule: load_scorer(rule).score(problem, [cut])[0] for rule in YES_NO_RULES}
    assert {rule: value["outcome"] for rule, value in values.items()} == {
        "yes-no": "truncated", "pope": "wrong", "lmms-eval": "truncated",
    }  # fmt: skip
    assert [load_scorer(rule).id for rule in YES_NO_RULES] == ["yes-no/1", "pope/1", "lmms-eval/1"]
    with pytest.raises(UserError, match="yes-no, pope, lmms-eval"):
        load_scorer("bleu")


def test_a_gold_answer_says_one_of_them():
    assert gold_fault(Problem("?", "No.", "yes-no")) is None
    assert "neither yes nor no" in str(gold_fault(Problem("?", "maybe", "yes-no")))
    assert read_yes_no("Yes") == "yes"
