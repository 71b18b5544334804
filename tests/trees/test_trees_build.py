import json

import networkx as nx
import pytest
from markov_runs import SCORER, MarkovStudy

from cotlab.engines.markov_specs import branching, staircase
from cotlab.errors import UserError
from cotlab.trees import build_tree, chain_draws, layout, tree_to_json, value, write_graphml, write_json


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    study = MarkovStudy(tmp_path_factory.mktemp("build") / "run", staircase())
    with study.run:
        yield study


@pytest.fixture(scope="module")
def chain(study):
    chain = study.main_path(*study.problem("Q"))
    study.resample(chain, 60)
    return chain


@pytest.fixture(scope="module")
def searches(tmp_path_factory):
    """Two chains of one prompt in a space with returns: rollouts are long and branch often."""
    study = MarkovStudy(tmp_path_factory.mktemp("searches") / "run", branching())
    with study.run:
        problem, prompt = study.problem("Q")
        rollouts = study.draw(prompt, range(60))
        chains = [
            study.chain(
                problem, prompt, next(r for r in rollouts if r.text.startswith(f" Try {name}") and len(r.text) > 60)
            )
            for name in "AB"
        ]
        for one in chains:
            study.resample(one, 60)
        yield study, chains


def test_the_chain_is_the_spine(study, chain):
    tree = build_tree(study.run, chain, scorer_id=SCORER)
    draws = chain_draws(study.run, chain, scorer_id=SCORER)
    assert tree.graph["spines"] == [[draw.prefix_id for draw in draws]]
    assert nx.is_arborescence(tree)
    for k, draw in enumerate(draws):
        node = tree.nodes[draw.prefix_id]
        assert (node["kind"], node["depth"], node["step"]) == ("chain", k, k)
        assert node["n_tokens"] == len(chain.prefix(k).token_ids)
        assert node["value"] == value(draw).estimate
        assert node["outcomes"] == draw.outcome_counts() and node["answers"] == draw.answers()
        assert node["n_rollouts"] == (60 if k < len(chain.steps) else 0)
        assert node["visits"] == len(draw)
        if k:
            edge = tree.edges[draws[k - 1].prefix_id, draw.prefix_id]
            assert (edge["text"], edge["base"]) == (chain.steps[k - 1].text, True)
            assert edge["count"] == node["visits"] - node["n_rollouts"]


def test_branches_hold_the_rollouts_that_left(study, chain):
    tree = build_tree(study.run, chain, scorer_id=SCORER)
    for node, attributes in tree.nodes(data=True):
        taken = sum(tree.edges[node, child]["count"] for child in tree.successors(node))
        if attributes["kind"] == "chain":
            ended = attributes["visits"] - taken  # those that say nothing more
            assert ended == 0 or attributes["step"] == len(chain.steps)
        else:
            ((parent, _, edge),) = tree.in_edges(node, data=True)
            assert tree.nodes[parent]["kind"] == "chain" and not edge["base"]
            assert edge["count"] == attributes["visits"] == sum(attributes["outcomes"].values())
            assert edge["text"].startswith((" Other", "\\boxed"))


def test_whole_rollouts_reach_their_ends(searches):
    study, chains = searches
    tree = build_tree(study.run, chains[0], scorer_id=SCORER, depth=None, max_nodes=100_000)
    assert nx.is_arborescence(tree) and tree.graph["left_out"] == 0
    leaves = [node for node in tree if tree.out_degree(node) == 0]
    ends = sum(
        attributes["visits"] - sum(tree.edges[node, child]["count"] for child in tree.successors(node))
        for node, attributes in tree.nodes(data=True)
    )
    assert ends == 60 * len(chains[0].steps)
    assert any(tree.nodes[leaf]["depth"] > len(chains[0].steps) for leaf in leaves)


def test_size_is_bounded_and_the_frequent_stays(searches):
    study, chains = searches
    whole = build_tree(study.run, chains[0], scorer_id=SCORER, depth=None, max_nodes=100_000)
    small = build_tree(study.run, chains[0], scorer_id=SCORER, depth=None, max_nodes=30)
    assert len(small) == 30 and small.graph["left_out"] > 0
    assert set(small) <= set(whole)
    beside = [n for n in whole.successors(small.graph["spines"][0][0]) if n not in small]
    kept = [n for n in small.successors(small.graph["spines"][0][0]) if small.nodes[n]["kind"] == "branch"]
    assert all(whole.nodes[a]["visits"] <= whole.nodes[b]["visits"] for a in beside for b in kept)


def test_chains_of_one_prompt_share_a_tree(searches):
    study, chains = searches
    tree = build_tree(study.run, chains, scorer_id=SCORER)
    assert nx.is_arborescence(tree)
    assert tree.graph["chain_ids"] == [chain.id for chain in chains]
    for chain in chains:
        draws = chain_draws(study.run, chain, scorer_id=SCORER)
        assert all(tree.nodes[draw.prefix_id]["kind"] == "chain" for draw in draws)
        assert [tree.nodes[draw.prefix_id]["n_rollouts"] for draw in draws[:-1]] == [60] * len(chain.steps)
    total = sum(attributes["n_rollouts"] for _, attributes in tree.nodes(data=True))
    assert total == 60 * (len(chains[0].steps) + len(chains[1].steps) - 1)
    root = tree.graph["spines"][0][0]
    assert sum(tree.edges[root, child]["count"] for child in tree.successors(root)) == 60


def test_prompts_make_a_tree_each(searches):
    study, chains = searches
    problem, prompt = study.problem("another")
    other = study.chain(problem, prompt, study.draw(prompt, range(30))[0])
    tree = build_tree(study.run, scorer_id="boxed")
    assert nx.is_branching(tree) and nx.number_weakly_connected_components(tree) == 2
    assert [len(spine) for spine in tree.graph["spines"]] == [len(chains[0].steps) + 1, len(other.steps) + 1]
    assert tree.nodes[prompt.id]["n_rollouts"] == 30
    positions = layout(tree)
    left, right = ([positions[n][0] for n in nx.descendants(tree, s[0]) | {s[0]}] for s in tree.graph["spines"])
    assert max(left) + 1 <= min(right)
    assert len({positions[node][0] for node in tree.graph["spines"][1]}) == 1


def test_a_run_without_chains_is_refused(tmp_path):
    study = MarkovStudy(tmp_path / "run", staircase())
    with study.run, pytest.raises(UserError, match="no chain to make a tree of"):
        build_tree(study.run, scorer_id=SCORER)


def test_json_and_graphml_are_read_back(searches, tmp_path):
    study, chains = searches
    tree = build_tree(study.run, chains, scorer_id=SCORER, min_n=5)
    root = tree.graph["spines"][0][0]
    child = next(iter(tree.successors(root)))
    tree.edges[root, child]["text"] = 'bell \x07 & <tag> "é" \ud800\n'
    write_json(tree, tmp_path / "tree.json")
    data = json.loads((tmp_path / "tree.json").read_text())
    assert data == json.loads(json.dumps(tree_to_json(tree)))
    read = nx.node_link_graph(data, edges="edges")
    assert nx.utils.graphs_equal(nx.DiGraph(read.edges), nx.DiGraph(tree.edges))
    assert read.edges[root, child]["text"] == tree.edges[root, child]["text"]
    assert read.nodes[root]["value"] == tree.nodes[root]["value"].to_json()

    write_graphml(tree, tmp_path / "tree.graphml")
    read = nx.read_graphml(tmp_path / "tree.graphml")
    assert set(read) == set(tree) and set(read.edges) == set(tree.edges)
    assert read.edges[root, child]["text"] == 'bell \ufffd & <tag> "é" \ufffd\n'
    for node, attributes in tree.nodes(data=True):
        estimate, flat = attributes["value"], read.nodes[node]
        assert flat.get("value") == estimate.value and flat.get("value_reason") == estimate.reason
        assert flat["n_correct"] == attributes["outcomes"]["correct"]
        assert json.loads(flat["answers"]) == attributes["answers"]
    assert {path.name for path in tmp_path.iterdir()} == {"tree.json", "tree.graphml"}


def test_an_unwritable_place_is_one_line(study, chain, tmp_path):
    tree = build_tree(study.run, chain, scorer_id=SCORER)
    for write in (write_json, write_graphml):
        with pytest.raises(UserError, match="cannot write .*nowhere.*Choose another place"):
            write(tree, tmp_path / "nowhere" / "tree")


def test_layout_of_a_real_tree(searches):
    study, chains = searches
    tree = build_tree(study.run, chains, scorer_id=SCORER, depth=3)
    positions = layout(tree)
    assert set(positions) == set(tree)
    assert all(positions[node] == (0, depth) for depth, node in enumerate(tree.graph["spines"][0]))
