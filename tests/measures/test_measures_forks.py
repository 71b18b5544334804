import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from markov_runs import SCORER, SETTINGS, MarkovStudy

from cotlab.chains.chain import Chain
from cotlab.chains.cutting import get_cutter
from cotlab.engines.markov_specs import staircase
from cotlab.errors import UserError
from cotlab.measures import Draws, chain_branchings, chain_curve, outcome_curve, token_effects
from cotlab.measures.branches import Branch, Branching
from cotlab.runs import Run
from cotlab.runs.imports.forking_fast import import_forking_fast
from cotlab.sampling import Sampler, draw_branches

SHARED = next((p / "shared/data/forking-fast" for p in Path(__file__).parents if (p / "shared/data").is_dir()), None)


def curve_of(truth, n, seed=0, **more):
    rng = np.random.default_rng(seed)
    counts = np.array([rng.multinomial(n, p) for p in truth])
    return outcome_curve(counts, n, categories=tuple("ABCDE")[: len(truth[0])], **more)


def steps(*parts):
    return np.repeat([p for p, _ in parts], [n for _, n in parts], axis=0)


def test_planted_forks_are_found_with_their_size():
    truth = steps(([0.5, 0.3, 0.2], 15), ([0.9, 0.05, 0.05], 10), ([0.1, 0.7, 0.2], 15))
    found = curve_of(truth, 30)
    assert len(found.forks) == 2
    assert [fork.place for fork in found.forks] == pytest.approx([14, 24], abs=1)
    for fork, size in zip(found.forks, (0.4, 0.8), strict=True):
        assert fork.size.low <= size <= fork.size.high
        assert fork.probability[0.2] > 0.95 and fork.size.value > fork.size.null_q95
    assert found.expected_false <= 0.05


def test_curves_without_forks_have_none():
    """A hundred flat curves: at most one in twenty says otherwise."""
    flat = steps(([0.5, 0.3, 0.2], 40))
    assert np.mean([bool(curve_of(flat, 10, seed).forks) for seed in range(100)]) <= 0.05


def test_a_change_below_the_threshold_is_no_fork():
    small = steps(([0.50, 0.50], 30), ([0.44, 0.56], 30))
    found = curve_of(small, 400)
    assert len(found.changes) == 1 and not found.forks
    assert found.changes[0].probability[0.1] < 0.05
    assert curve_of(small, 400, threshold=0.02).forks


def test_nothing_to_find_is_said():
    assert curve_of(steps(([1.0, 0.0], 9)), 5).reason == "all draws end alike (A)"
    assert curve_of(steps(([0.5, 0.5], 1)), 5).reason == "1 positions have draws, at least 2 are needed"
    with pytest.raises(ValueError, match="3 names for 2 categories"):
        outcome_curve([[1, 2]], categories=("A", "B", "C"))


@pytest.fixture(scope="module")
def branched(tmp_path_factory):
    """A staircase with rollouts behind every next token of its main path, one token a step."""
    made = MarkovStudy(tmp_path_factory.mktemp("forks") / "run", staircase())
    with made.run:
        lines = made.main_path(*made.problem("Q"))
        cutter = get_cutter("tokens")
        cut = cutter.cut(lines.response_ids, made.engine.tokenizer)
        chain = Chain(lines.problem_id, lines.rollout_id, lines.prompt_ids, lines.response_ids, cutter.id, cut, "given")
        made.run.add_chain(chain)
        made.run.add_chain_prefixes(chain)
        sampler = Sampler(made.run, made.engine, made.study_id, seed=0)
        children = draw_branches(sampler, chain, range(7), 200, SETTINGS)
        assert sampler.drawn.rollouts == 200 * len(set(c.id for c in children))
        draw_branches(sampler, chain, range(7), 200, SETTINGS)
        assert sampler.drawn.rollouts == 200 * len(set(c.id for c in children))
        from cotlab.chains.score import Score

        made.run.add_scores(Score("rollout", r.id, SCORER, made.verdict(r)) for r in list(made.run.unscored(SCORER)))
        yield made, chain


def test_branches_have_exact_probabilities_and_give_the_exact_curve(branched):
    made, chain = branched
    places = chain_branchings(made.run, chain, scorer_id=SCORER)
    assert [place.position for place in places] == list(range(7))
    _, curve = chain_curve(made.run, chain, scorer_id=SCORER)
    for place, row in zip(places, curve.raw, strict=True):
        exact = made.engine.next_tokens(chain.prefix(place.position))
        assert {b.token: b.p for b in place.branches} == pytest.approx(exact)
        law = made.engine.answer_distribution(chain.prefix(place.position), SETTINGS)
        assert dict(zip(curve.categories, row, strict=True)) == pytest.approx(law, abs=0.1)
        assert place.worth >= 200


def test_pivotal_tokens_are_those_of_the_planted_jumps(branched):
    made, chain = branched
    effects = token_effects(chain_branchings(made.run, chain, scorer_id=SCORER))
    assert len(effects) >= 10
    for effect in effects:
        here, there = chain.prefix(effect.position), chain.prefix(effect.position).extend((effect.token,))
        exact = made.engine.value(there, SETTINGS) - made.engine.value(here, SETTINGS)
        assert effect.delta.value == pytest.approx(exact, abs=0.1)
        assert effect.pivotal == (abs(effect.delta.value) >= 0.2 and effect.delta.q <= 0.05)
    main = {effect.position for effect in effects if effect.pivotal and effect.on_chain}
    assert {1, 5} <= main and not {0, 2, 4} & main


def test_pivotal_tokens_that_do_nothing_are_rarely_discovered():
    """60 positions of two branches with equal values: q keeps false discoveries away."""
    rng, false = np.random.default_rng(0), 0
    for _ in range(40):
        places = []
        for position in range(60):
            branches = [
                Branch(token, 0.5, 0.5, token == 0, Draws.of("p", ["correct"] * k + ["wrong"] * (20 - k)))
                for token, k in enumerate(rng.binomial(20, 0.5, 2))
            ]
            places.append(Branching(position, tuple(branches)))
        false += any(e.pivotal for e in token_effects(places))
    assert false <= 5


def test_delta_intervals_cover():
    rng, inside, n = np.random.default_rng(1), 0, 50
    values, weights = np.array([0.8, 0.4, 0.1]), np.array([0.5, 0.3, 0.2])
    truth = values - weights @ values
    for _ in range(300):
        k = rng.binomial(n, values)
        branches = [
            Branch(i, w, w, i == 0, Draws.of("p", ["correct"] * int(c) + ["wrong"] * int(n - c)))
            for i, (c, w) in enumerate(zip(k, weights, strict=True))
        ]
        found = token_effects([Branching(0, tuple(branches))])
        inside += sum(e.delta.low <= t <= e.delta.high for e, t in zip(found, truth, strict=True))
    assert inside / 900 == pytest.approx(0.95, abs=0.025)


def test_a_chain_without_rollouts_is_one_line(tmp_path):
    made = MarkovStudy(tmp_path / "run", staircase())
    with made.run:
        chain = made.main_path(*made.problem("Q"))
        with pytest.raises(UserError, match="has no rollouts that boxed/1 has judged"):
            chain_curve(made.run, chain, scorer_id=SCORER)
        with pytest.raises(UserError, match="scorer 'nobody' has given no verdict"):
            chain_curve(made.run, chain, scorer_id="nobody")


def store(**changed):
    branch = {"t": 0, "tok_id": 5, "tok_p": 0.6, "is_base": True, "answers": list("AABB"), "cont_lens": [3, 3, 3, 3]}
    other = {**branch, "tok_id": 6, "tok_p": 0.2, "is_base": False, "answers": ["A", "Other", "Other", "C"]}
    other["cont_lens"] = [3, 9, 3, 3]
    last = {**branch, "t": 2, "tok_id": 7, "tok_p": 1.0, "answers": list("AAAA")}
    row = {
        "meta": {"model": "m", "question": "Which?", "choices": ["x", "y"], "answer_letter": "A"},
        "base": {"gen_ids": [5, 8, 7], "token_texts": ["ĠSo", "Ċ", "ðŁ"], "finish_reason": "stop"},
        "categories": ["A", "B", "C", "Other"],
        "branches": [branch, other, last],
        "config": {"cont_temperature": 0.6, "base_max_tokens": 20, "cont_max_tokens": 9},
    }
    return {**row, **changed}


def written(folder, row):
    folder.mkdir(exist_ok=True)
    path = folder / "row000.json.gz"
    path.write_bytes(gzip.compress(json.dumps(row).encode()))
    return path


def test_an_imported_store_gives_back_its_curve(tmp_path):
    made = import_forking_fast(written(tmp_path / "in", store()), tmp_path / "out")
    assert (made.chains, made.rollouts, made.format) == (1, 13, "forking-fast")
    with Run.open(tmp_path / "out") as run:
        chain = run.chains()[0]
        assert [step.text for step in chain.steps] == [" So", "\n", ""]
        places, curve = chain_curve(run, chain, scorer_id="forking-fast")
        assert [place.position for place in places] == [0, 2]
        first = dict(zip(curve.categories, curve.raw[0], strict=True))
        assert first["A"] == pytest.approx(0.75 * 0.5 + 0.25 * 0.25)
        assert first["(truncated)"] == first["(unparsable)"] == first["C"] == pytest.approx(0.25 * 0.25)
        assert places[0].worth == pytest.approx(1 / (0.75**2 / 4 + 0.25**2 / 4))
        assert all(rollout.token_ids is None for rollout in run.rollouts() if rollout.prefix_id != chain.prefix(0).id)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "'meta' is missing"),
        (store(base={"gen_ids": [1], "token_texts": [], "finish_reason": "stop"}), "1 token ids and 0 texts"),
        (store(branches=[{**store()["branches"][0], "t": 9}]), "a branch is at token 9, the response has 3"),
        (store(branches=[store()["branches"][0]] * 2), "the same next token twice"),
        (store(branches=[{**store()["branches"][0], "answers": ["Z"], "cont_lens": [1]}]), "'Z', which is no category"),
        (store(branches=[{**store()["branches"][0], "tok_p": 2}]), "has the probability 2.0"),
        ([], "is no Forking Fast store"),
    ],
)
def test_a_broken_store_is_one_line_and_leaves_nothing(tmp_path, row, message):
    with pytest.raises(UserError, match=message):
        import_forking_fast(written(tmp_path / "in", row), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_store_and_no_gzip_are_one_line(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(UserError, match="holds no \\*.json.gz"):
        import_forking_fast(tmp_path / "in", tmp_path / "out")
    (tmp_path / "in" / "row.json.gz").write_bytes(b"not gzip")
    with pytest.raises(UserError, match="cannot be read as gzipped JSON"):
        import_forking_fast(tmp_path / "in" / "row.json.gz", tmp_path / "out")


@pytest.mark.skipif(SHARED is None, reason="the stored questions are not here")
def test_a_published_store_gives_its_own_outcome_curve(tmp_path):
    path = SHARED / "deepseek" / "row022.json.gz"
    row = json.loads(gzip.decompress(path.read_bytes()))
    import_forking_fast(path, tmp_path / "out")
    with Run.open(tmp_path / "out") as run:
        places, curve = chain_curve(run, run.chains()[0], scorer_id="forking-fast")
    assert [place.position for place in places] == row["idxs"]
    theirs = np.array(row["o_t_full"])
    for k, letter in enumerate("ABCD"):
        ours = curve.raw[:, curve.categories.index(letter)] if letter in curve.categories else 0
        assert theirs[:, k] == pytest.approx(ours, abs=1e-6)
