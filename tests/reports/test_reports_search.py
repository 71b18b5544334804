"""The state graph of a run, as the command line gives it."""

import json
import subprocess
import sys
from pathlib import Path

import networkx as nx
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "trees"))

from markov_runs import SCORER, MarkovStudy

from cotlab.engines.markov_specs import staircase
from cotlab.errors import UserError
from cotlab.reports.search import search_report


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    made = MarkovStudy(tmp_path_factory.mktemp("search") / "run", staircase((0.0, 0.4)))
    with made.run:
        chain = made.main_path(*made.problem("Climb."))
        made.resample(chain, 40)
    return made, chain


def cotlab(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cotlab", *arguments], capture_output=True, text=True, timeout=200, check=False
    )


def test_the_command_tells_measures_and_writes_the_graph(study, tmp_path):
    made, chain = study
    folder, file = str(made.run.path), tmp_path / "graph.graphml"
    done = cotlab("graph", folder, "--scorer", SCORER, "--json", "--export", str(file))
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["states_by"] == "exact-text/1" and document["truth"] is None
    assert document["rollouts"] == 40 * len(chain.steps)
    assert document["profile"]["rollouts"] == 40
    assert document["profile"]["moves"]["low"] <= document["profile"]["moves"]["value"]
    assert set(document["rejoining"]) == {chain.id}
    assert len(document["rejoining"][chain.id]["by_step"]) == len(chain.steps)
    assert len(nx.read_graphml(file)) == document["profile"]["states"] == len(document["graph"]["nodes"])
    shown = cotlab("graph", folder, "--scorer", SCORER, "--most", "2")
    assert "states of" in shown.stdout and "more states (--most)" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--problem", "nope"), "no chain of problem 'nope'"),
        (("--states", "exact"), "has no exact states"),
        (("--states", "nope"), "no similarity is named 'nope'"),
        (("--export", "graph.png"), "name a file that ends in .graphml or .json"),
        (("--scorer", "nobody"), "'nobody' has given no verdict"),
    ],
)
def test_what_cannot_be_is_one_line(study, arguments, told):
    refused = cotlab("graph", str(study[0].run.path), "--scorer", SCORER, *arguments)
    assert refused.returncode == 2 and told in refused.stderr and refused.stderr.count("\n") == 1


def test_a_problem_without_rollouts_is_told(tmp_path):
    made = MarkovStudy(tmp_path / "run", staircase((0.0, 0.4)))
    with made.run:
        problem, prompt = made.problem("Climb.")
        chain = made.main_path(problem, prompt)
        with pytest.raises(UserError, match="has no rollouts in"):
            search_report(made.run, [chain], problem, scorer_id=SCORER)
