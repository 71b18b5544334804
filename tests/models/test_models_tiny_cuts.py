"""The sentence cutter on the tiny reasoner's own chains: one step a labelled sentence."""

import random

from cotlab import tiny
from cotlab.chains import HFTokenizer, get_cutter
from cotlab.models import resolve_model


def test_steps_are_the_labelled_sentences():
    tokenizer = HFTokenizer.load(resolve_model("tiny").path)
    rng = random.Random(0)
    for problem in tiny.generate_problems(60, seed=0):
        chain = tiny.write_chain(problem, rng)
        ids = tokenizer.encode(chain.text)
        texts = [step.text.strip() for step in get_cutter("sentences/1").cut(ids, tokenizer)]
        assert [text for text in texts if text != "</think>"] == [step.text for step in chain.steps]
        assert texts.count("</think>") == 1
