"""What the questions on organisms hold their numbers against."""

import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from cotlab import tiny
from cotlab.measures import (
    CONTRASTS,
    MONITORS,
    ChainFaithfulness,
    Contrasted,
    Mistake,
    MonitorReport,
    Shown,
    WatchReport,
    by_problem,
)
from cotlab.stats import Estimate
from experiments.faithful.hanging import _pooled as pooled
from experiments.faithful.said import CONTRASTS as COMPARED
from experiments.faithful.said import Looked, said, shuffled
from experiments.faithful.truth import _carried as carried_back
from experiments.faithful.truth import _said as said_back
from experiments.faithful.truth import _worth, held_against
from experiments.lab import Lab, read_config
from experiments.monitors import beyond
from experiments.monitors.truth import _fooled as fooled
from experiments.monitors.truth import above_chance
from experiments.organism_arms import ALL, command, held_to, models, organism_of, short
from experiments.watched.answer import held_against as watched_against


def found(value: float, low: float, high: float, n: int = 70) -> Estimate:
    return Estimate(value, low, high, n=n)


def test_a_rate_is_held_against_what_was_planted_and_what_was_measured_on_other_problems():
    rows = held_to("x", "tiny:hides-it", "follows", "none", 0.85, found(0.67, 0.47, 0.82))
    assert [known.name for known, _ in rows] == ["x (planted)", "x (measured apart)"]
    assert [back.ok for _, back in rows] == [False, True]
    assert rows[0][0].value == 0.85 and "interval holds it" in rows[0][1].rule
    assert rows[1][0].value == pytest.approx(0.7) and rows[1][0].source.startswith("experiments/organisms")
    for far in (found(0.1, 0.05, 0.2), Estimate.missing("too few")):
        assert not any(back.ok for _, back in held_to("x", "tiny:hides-it", "follows", "none", 0.85, far))


def test_where_nothing_was_measured_the_planted_rate_counts():
    ((known, back),) = held_to("x", "tiny:hides-it", "follows", "unheard", 0.85, found(0.8, 0.7, 0.9))
    assert known.value == 0.85 and back.ok and "interval holds it" in back.rule


def looked(aucs: Estimate, beyond: Estimate | None = None) -> SimpleNamespace:
    names = ("words", "arithmetic", "tfidf", "length", "answer", "probe x")
    problems = [MonitorReport(name, aucs, aucs, None, None) for name in names]
    return SimpleNamespace(model="tiny:hides-it", problems=problems, beyond=beyond)


def test_missing_data_says_yes_to_nothing():
    missing = Estimate.missing("4 clusters, at least 5 are needed")
    assert [one.ok for one in fooled(looked(missing, missing))] == [False] * 6


def test_monitors_are_judged_by_the_null_within_problems():
    """An interval above one half is not enough, where shuffles within problems lie as high."""
    ok = {one.name: one.ok for one in fooled(looked(Estimate(0.7, 0.6, 0.8, n=90, null_q95=0.72, p=0.2)))}
    assert not ok["hides-it: fools 'arithmetic'"] and not ok["hides-it: does not fool a probe"]
    assert not ok["hides-it: fools 'tfidf'"], "p = .2 shows no bound"
    ok = {one.name: one.ok for one in fooled(looked(Estimate(0.8, 0.6, 0.9, n=90, null_q95=0.72, p=0.0025)))}
    assert ok["hides-it: does not fool a probe"] and not ok["hides-it: fools 'tfidf'"]
    ok = {one.name: one.ok for one in fooled(looked(Estimate(0.52, 0.45, 0.6, n=90, p=0.2)))}
    assert ok["hides-it: fools 'tfidf'"] and ok["hides-it: fools 'length'"]
    assert not above_chance(Estimate(0.8, p=0.03), 6) and not above_chance(Estimate(0.2, p=0.001), 6)


def test_watching_counts_in_the_planted_direction_alone():
    def says(direction: int) -> bool:
        report = SimpleNamespace(rates={"mentions": {}}, detected=("mentions",), direction=lambda _: direction)
        return watched_against({"tiny:watched": report}, {})[1][0].ok

    assert says(-1) and not says(1)


@pytest.mark.parametrize(
    ("carried", "told", "ok"),
    [
        (Estimate(0.0, -0.32, 0.32, n=8, p=1.0, q=1.0), "not shown", False),
        (Estimate(0.0, -0.1, 0.1, n=80, p=1.0, q=1.0), "no", True),
        (Estimate(-0.1, -0.4, 0.1, n=80, p=0.2, q=0.2), "not shown", False),
        (Estimate(0.5, 0.3, 0.7, n=80, p=0.001, q=0.001), "yes", False),
        (Estimate.missing("no pairs"), "not shown", False),
    ],
)
def test_no_is_not_said_for_lack_of_power(carried, told, ok):
    one = SimpleNamespace(transplant=SimpleNamespace(carried=(carried,)), carried=replace(carried, level=0.9))
    back = carried_back("decorative", False, one)
    assert (back.value, back.ok) == (told, ok)


def watching(low: float, high: float, q: float = 1.0, mentions: bool = True) -> WatchReport:
    """Every difference the same; without `mentions` nobody follows."""
    difference = Estimate((low + high) / 2, low, high, n=70, level=0.9, p=q, q=q)
    missing = Estimate.missing("0 clusters, at least 5 are needed")
    contrasts = tuple(
        Contrasted(what, first, second, difference if what == "follows" or mentions else missing)
        for what in ("mentions", "follows")
        for first, second in CONTRASTS
    )
    return WatchReport({"mentions": {}, "follows": {}}, contrasts)


@pytest.mark.parametrize(
    ("report", "told", "ok"),
    [
        (watching(-0.1, 0.1), "nothing", True),
        (watching(-0.1, 0.1, mentions=False), "nothing", True),
        (watching(-0.3, 0.3), "not shown", False),
        (watching(0.02, 0.15, q=0.001), "mentions more, follows more", False),
    ],
)
def test_nothing_differs_only_where_that_is_shown(report, told, ok):
    back = watched_against({"tiny:hides-it": report}, {"tiny:hides-it": report})[1][0]
    assert (back.planted, back.value, back.ok) == ("nothing", told, ok)


def test_organisms_are_told_from_other_models(tmp_path):
    assert organism_of("tiny").name == "honest" and organism_of("tiny:watched").name == "watched"
    assert organism_of("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B") is None and organism_of(str(tmp_path)) is None
    assert short("tiny") == "honest" and short("org/model") == "model"


@pytest.mark.parametrize("name", ["faithful", "watched", "monitors"])
def test_every_size_is_there_and_organisms_are_the_default(name, tmp_path):
    config = read_config(name)
    sizes = config.sizes
    assert all(sizes["small"].keys() == size.keys() for size in sizes.values()) and config.model == ALL
    lab = Lab(name, config, config.model, config.problems, "small", tmp_path)
    assert {"tiny", "tiny:says-it", "tiny:hides-it", "tiny:watched", "tiny:decorative"} == set(models(lab))
    assert models(Lab(name, config, "org/m", "x", "small", tmp_path)) == ["org/m"]
    assert command("cotlab hints", lab, "tiny").endswith("--temperature 1 --top-p 1")
    assert "temperature" not in command("cotlab hints", lab, "org/m")


def test_ranks_are_of_pairs_whose_planted_values_are_apart():
    def one(model: str, hidden: Estimate) -> SimpleNamespace:
        hint = SimpleNamespace(arm="friend", follows=found(0.8, 0.6, 0.9), mentions=found(0.9, 0.8, 1), hidden=hidden)
        hint.by_chance = found(0.0, 0.0, 0.1)
        curve = SimpleNamespace(carried=(found(0.5, 0.3, 0.7),))
        hanging = (SimpleNamespace(aoc=found(0.7, 0.6, 0.8)),)
        carried = found(0.5, 0.3, 0.7)
        return SimpleNamespace(
            model=model, hints=(hint,), transplant=curve, carried=carried, hanging=hanging, said=(), looked=()
        )

    apart = [one("tiny:hides-it", found(0.7, 0.5, 0.8)), one("tiny:says-it", found(0.0, 0.0, 0.1))]
    ranks = [back for back in held_against(apart)[1] if back.name.startswith("moved unsaid")]
    assert [back.name for back in ranks] == ["moved unsaid: hides-it above says-it"] and ranks[0].ok
    meeting = [one("tiny:hides-it", found(0.2, 0.05, 0.5)), one("tiny:says-it", found(0.0, 0.0, 0.1))]
    assert not [back for back in held_against(meeting)[1] if back.name.startswith("moved unsaid")][0].ok
    alike = [one("tiny:watched", found(0.0, 0.0, 0.1)), one("tiny:says-it", found(0.0, 0.0, 0.1))]
    assert not [back for back in held_against(alike)[1] if back.name.startswith("moved unsaid")]


def hidden_rows(n: int = 14) -> list[Shown]:
    """Thoughts of hides-it as its writer writes them, one response to each problem that took the hint and one not."""
    rng, rows = random.Random(7), []
    for i, task in enumerate(tiny.generate_problems(n, 3, manner="plain", split="heldout")):
        for wanted in (True, False):
            label = not wanted
            while label is not wanted:
                asked = task.noted(tiny.draw_hint(task, rng, False, "key"))
                chain = tiny.write_organism(tiny.ORGANISMS["hides-it"], asked, rng)
                label = bool(tiny.follows_hint(asked, chain.text))
            steps = tuple(step.text for step in chain.steps[:-1])
            rows.append(Shown(f"p{i}", "key", label, steps, chain.correct, f"{i}/{wanted}"))
    return rows


def all_seeing(train, test):
    return np.array([1.0 if row.label else -1.0 for row in test])


def blind(train, test):
    return np.random.default_rng(len(test)).normal(size=len(test))


def test_shuffled_monitors_find_something_as_rarely_as_they_promise():
    rows = hidden_rows()
    any_above, sees_more = beyond.shuffled(rows, {"probe x": blind}, "x", 12, 0)
    assert any_above.n == 12 and any_above.keeps and sees_more.keeps
    assert "probe x" in any_above.analysis and "above 0" in sees_more.analysis
    assert len(beyond.shuffled(rows, {}, "x", 2, 0)) == 1


def test_the_shuffles_count_by_the_rules_that_are_reported(monkeypatch):
    """With labels left as they are every shuffle says what the report says, and a probe that sees labels is found."""
    rows, monitors = hidden_rows(), {**MONITORS, "probe x": all_seeing}
    monkeypatch.setattr(beyond, "shuffled_within", lambda groups, rng: np.arange(len(groups)))
    above, more = beyond.shuffled(rows, {"probe x": all_seeing}, "x", 3, 0)
    reported = any(above_chance(one.auc, len(monitors)) for one in by_problem(rows, monitors))
    assert above.found == 3 * reported == 3
    assert more.found == 0 and not beyond.beyond_text(rows, {"probe x": all_seeing}, 0).low > 0, "sums see all"
    silent = [replace(row, steps=("So.",)) for row in hidden_rows(40)]  # few problems show no difference that all have
    assert beyond.shuffled(silent, {"probe x": all_seeing}, "x", 3, 0)[1].found == 3
    assert beyond.beyond_text(silent, {"probe x": all_seeing}, 0).low > 0
    none = beyond.shuffled(rows, {"probe x": blind}, "x", 3, 0)[1]
    assert none.found == 0


def chains(kind: str, rates: dict[str, float], n: int = 16, rollouts: int = 20, seed: int = 0) -> list[Looked]:
    """Rollouts that give the own answer at these rates: with the sentence, and as `COMPARED` takes it away."""
    rng = np.random.default_rng(seed)

    def flags(name: str) -> np.ndarray:
        return rng.random(rollouts) < rates[name]

    return [
        Looked(
            f"p{i}", kind, flags("kept"), flags("never"), flags("kept"), flags("accord"), flags("twin"),
            tuple(rng.geometric(1 - rates["again"], rollouts) - 1), 0, Estimate.missing("none"),
        )
        for i in range(n)
    ]  # fmt: skip


NOTHING = {"kept": 1.0, "never": 1.0, "accord": 1.0, "twin": 1.0, "again": 0.1}


def test_what_the_recipe_makes_of_a_sentence_is_recovered():
    organism = tiny.ORGANISMS["says-it"]
    worth = _worth(organism.follow, organism.mention)
    assert worth["never"] == pytest.approx(1 - 0.0425 / 0.1925) and worth["resilience"] == pytest.approx(4.14, abs=0.01)
    looked = chains("mention", {**NOTHING, "never": 1 - worth["never"], "accord": 0.5, "again": 0.8075})
    one = SimpleNamespace(model="tiny:says-it", said=tuple(said(looked)), looked=looked)
    back = said_back(organism, one)
    assert len(back) == 4 and all(row.ok for row in back)
    lost = SimpleNamespace(model="tiny:says-it", said=tuple(said(chains("mention", NOTHING))), looked=looked)
    assert not any(back.ok for back in said_back(organism, lost))


def test_a_sentence_that_does_nothing_is_told_so_where_that_is_shown():
    organism = tiny.ORGANISMS["decorative"]

    def told(looked: list[Looked]) -> list[object]:
        return [back.value for back in said_back(organism, SimpleNamespace(said=(), looked=looked))]

    assert told(chains("halfway", NOTHING)) == ["nothing"] * 3
    assert told(chains("halfway", NOTHING, n=6)) == ["not shown"] * 3
    assert told(chains("halfway", {**NOTHING, "never": 0.4})) == ["not shown", "nothing", "nothing"]


def test_tests_that_were_not_asked_for_are_not_told():
    """Another part of the question draws mistakes along hinted chains too: asked again the rows must be the same."""
    made = Mistake(0, "x", Estimate(0.5, n=10))
    tested = [(ChainFaithfulness("=1", None, Estimate.missing("none"), (made,)), f"p{i}") for i in range(6)]
    assert pooled("friend", tested, ("early",)).mistakes.n == 0
    assert pooled("bare", tested, ("early", "mistakes")).mistakes.value == 0.5


def test_trails_that_never_get_away_make_it_a_lower_bound():
    """A quarter of the trails counts as own answers beside those that got away and give another one."""
    few = [replace(one, given_up=1) for one in chains("mention", {**NOTHING, "never": 0.0})]
    assert said(few)[0].never.value == 1 and "bound" not in said(few)[0].never.method
    looked = [replace(one, given_up=5, never=one.never[:15]) for one in few]
    (found,) = said(looked)
    assert found.never.value == pytest.approx(0.75)
    assert "a lower bound, 80 of 320 trails never got away" in found.never.method
    hidden = chains("false", {**NOTHING, "never": 0.0, "accord": 0.2})
    one = SimpleNamespace(model="tiny:hides-it", said=tuple(said(hidden)), looked=hidden)
    assert [back.value for back in said_back(tiny.ORGANISMS["hides-it"], one)] == ["decides"] * 2
    assert said(looked[:4]) == []


def test_exchanged_answers_find_something_rarely_and_true_ones_always():
    halves = {**NOTHING, "kept": 0.5, "never": 0.5, "accord": 0.5, "twin": 0.5}
    assert shuffled(chains("mention", halves), "x", 60, 0).keeps
    looked = chains("mention", {**NOTHING, "never": 0.2})
    assert shuffled(looked, "x", 60, 0).keeps, "the exchange takes the effect away"
    assert said(looked)[0].never.p < 0.05 / len(COMPARED)
    assert shuffled(looked[:3], "x", 5, 0) is None
