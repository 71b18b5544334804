"""Coming back to a run: which chain is meant, and what is wrong before a model is loaded."""

import pytest

from cotlab.errors import UserError
from cotlab.runs import Run
from cotlab.sampling import find_chain, find_chains, resample, revisit


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "two"
    resample(model="markov:lucky", question="Climb.", answer="7", base=("greedy", "random"), n=4, run=path)
    return path


def test_a_chain_is_found_by_its_id_or_by_its_problem(path):
    with Run.open(path) as run:
        first, second = run.chains()
        assert find_chain(run, second.id[:12]).id == second.id
        name = run.problems()[first.problem_id].name
        assert len(find_chains(run, name)) == 2
        assert [chain.id for chain in find_chains(run, first.problem_id)] == [first.id, second.id]
        with pytest.raises(UserError, match=rf"two has 2 chains\. Choose one with --chain: {first.id[:8]} \("):
            find_chain(run, None)
        with pytest.raises(UserError, match=f"no chain 'zz' .*; there are: {first.id[:8]}"):
            find_chain(run, "zz")


def test_what_is_wrong_is_said_before_the_model_is_loaded(path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("cotlab.sampling.revisiting.study_engine", refuse)
    with pytest.raises(UserError, match="Choose one"), revisit(path, check=lambda run: find_chain(run, None)):
        pass
