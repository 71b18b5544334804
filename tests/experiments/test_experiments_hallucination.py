"""What counts as recovered: held against answers whose origin is known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cotlab.chains.answer_odds import AnswerOdds
from cotlab.measures import YesNoRow, blame_report, look_report, pope_report
from cotlab.problems import BLAME_VIEWS, LOOK_VIEWS, View
from cotlab.reports import read_experiment
from experiments.__main__ import main
from experiments.hallucination.figures import figures
from experiments.hallucination.nulls import null_rates
from experiments.hallucination.truth import PLANTED, held_against

VIEWS = tuple(dict.fromkeys((*LOOK_VIEWS, *BLAME_VIEWS)))


def says(side: str | None, kind: str, view: View, rng: np.random.Generator) -> float:
    """P(yes) of a model that looks, and that has one planted error on one side."""
    if view.image in ("wrong", "none") and view.text == "":
        return 0.4 if view.image == "none" else 0.9 if kind != "first" else 0.1
    told = view.text == "description"
    if kind == "first":
        return 0.1 if view.image == "masked" else 0.9
    if kind == "planted" and side == "language":
        return 0.9
    if kind == "planted" and side == "image" and view.image != "none":
        return 0.9 if not told or rng.random() < 0.5 else 0.1
    return 0.02


def rows(side: str | None, n: int = 30) -> list[YesNoRow]:
    rng, found = np.random.default_rng(0), []
    for i in range(n):
        for kind, splits in (("first", ("random", "planted")), ("planted", ("planted",)), ("random", ("random",))):
            gold = "yes" if kind == "first" else "no"
            for view in VIEWS:
                if gold == "no" and view.image in ("masked", "elsewhere"):
                    continue
                p = says(side, kind, view, rng)
                said = ("yes" if rng.random() < p else "no",)
                odds = AnswerOdds(p, 1 - p)
                times = dict.fromkeys(splits, 1)
                found.append(YesNoRow(f"{i}{kind}", f"i{i}", view, gold, gold, said, odds, times))
    return found


@pytest.fixture(scope="module")
def reports():
    made = {model: rows(side) for model, side in PLANTED.items()}
    return {
        model: (pope_report(one), pope_report(one, level=0.9), look_report(one), blame_report(one))
        for model, one in made.items()
    }


def test_what_was_planted_comes_back(reports):
    planted, recovered = held_against(reports)
    assert (len(planted), len(recovered)) == (8, 11)
    assert [one.name for one in recovered if not one.ok] == []
    sides = {one.name.partition(":")[0]: one.value for one in recovered if "enters" in one.name}
    assert sides == {"prior": "language", "alignment": "image", "perception": "image"}


def test_what_was_not_planted_does_not_come_back(reports):
    exchanged = dict(zip(PLANTED, [reports[name] for name in reversed(PLANTED)], strict=True))
    _, recovered = held_against(exchanged)
    assert {one.name.partition(":")[0] for one in recovered if not one.ok} == {
        "honest",
        "prior",
        "alignment",
        "perception",
    }
    assert held_against({"somebody/else": reports["tiny-vlm"]}) == ((), ())


def test_nulls_and_figures(reports):
    found = null_rates(rows(None, 12), "honest", 3, 0)
    assert [one.n for one in found] == [3, 3, 3] and all(one.keeps for one in found)
    drawn = figures({name: (one[0], one[0], one[2], one[3]) for name, one in reports.items()})
    assert set(drawn) == {"false-yes.svg", "views.svg", "enters.svg"} and all(
        s.startswith("<svg") for s in drawn.values()
    )


@pytest.mark.slow
def test_the_honest_model_is_asked(tmp_path, capsys):
    words = ["hallucination", "--model", "tiny-vlm", "--budget", "small", "--out", str(tmp_path), "--quiet"]
    assert main(words) == 0
    found = read_experiment(tmp_path / "hallucination")
    assert found.all_recovered and not found.warnings and all(null.n >= 100 for null in found.null_rate)
    assert main(words) == 0
    again = read_experiment(tmp_path / "hallucination")
    assert again.estimates == found.estimates and again.rollouts == found.rollouts
    assert json.loads((tmp_path / "hallucination" / "results.json").read_text())["figures"]
