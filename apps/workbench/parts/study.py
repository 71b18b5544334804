"""One chain with all that its pages show; read once and kept as long as the run does not change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from components import ViewData, pack
from numpy.typing import NDArray

from cotlab import Chain, Problem
from cotlab.chains.categories import CATEGORIES
from cotlab.chains.cutting import get_cutter
from cotlab.errors import UserError
from cotlab.reports import ChainReport, StepReport, StudyView, chain_report
from cotlab.reports.figure import OUTCOMES
from cotlab.reports.text import clip, one_line, readable, trimmed
from cotlab.runs import Run
from cotlab.stats import Estimate
from cotlab.trees import (
    Alternative,
    ConditionIds,
    RolloutPath,
    Tree,
    alternatives_at,
    build_tree,
    by_position,
    by_text,
    by_tiny_state,
    conditions_of,
    layout,
    lengthened,
    paths,
    resolve_scorer,
    saying,
)
from parts.metrics import metric_of, overdetermined

__all__ = ["Studied", "chains_of", "first_bytes", "study", "view_bytes"]

MAX_NODES = 120_000
LISTED = 30
"""Alternatives listed at a step; the tree has all."""
LARGE = 10_000
"""Rollouts of a run from which on the chain is shown before they are read."""
NODE_TEXT_BYTES = 8_000_000
_NAN = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class Studied:
    """A chain, its rollouts and its tree under one condition and one scorer."""

    path: Path
    chain: Chain
    problem: Problem
    scorer_id: str
    condition: ConditionIds | None
    report: ChainReport
    found: list[RolloutPath]
    tree: Tree
    ids: list[str]
    """Tree nodes in the order of the arrays: the spine first."""
    place: dict[str, int]
    """The other way round."""
    positions: dict[str, tuple[float, float]]
    alternatives: tuple[tuple[Alternative, ...], ...]
    """One for each step of the report."""

    def way(self, node: str) -> tuple[int, tuple[str, ...]]:
        """Steps of the chain that a node keeps, and what it says after them."""
        texts: list[str] = []
        spine = set(self.ids[: self.n_spine])
        while node not in spine:
            (parent,) = self.tree.predecessors(node)
            texts.append(self.tree.edges[parent, node]["text"])
            node = parent
        return int(self.tree.nodes[node]["step"]), tuple(reversed(texts))

    @property
    def n_spine(self) -> int:
        """How many nodes the chain itself has."""
        return len(self.tree.graph["spines"][0])

    def kept(self, step: int) -> int:
        """Steps of the chain before the step of the report with that index."""
        return self.report.steps[step].idx

    def ends(self, step: int) -> int:
        """Steps of the chain kept after it."""
        steps = self.report.steps
        return steps[step + 1].idx if step + 1 < len(steps) else len(self.chain.steps)


@st.cache_data(max_entries=50, show_spinner=False)
def _chains(path: Path, at: tuple[int, ...]) -> list[tuple[str, str, str, str, int]]:
    with Run.open(path) as run:
        problems = run.problems()
        return [(c.id, c.problem_id, problems[c.problem_id].name, c.role, len(c.steps)) for c in run.chains()]


def chains_of(path: Path, at: tuple[int, ...]) -> list[tuple[str, str, str, str, int]]:
    """(chain id, problem id, name of the problem, role, number of steps) of every chain of a run."""
    found: list[tuple[str, str, str, str, int]] = _chains(path, at)
    return found


@st.cache_resource(max_entries=3, show_spinner="reading the rollouts …")
def study(
    path: Path,
    at: tuple[int, ...],
    chain_id: str,
    scorer: str,
    condition: ConditionIds | None,
    depth: int | None,
    grown: str,
) -> Studied:
    """Read a chain; the arguments are what it depends on.

    Raises:
        UserError: There is no such chain, nobody has judged its rollouts, or its steps are tokens.
    """
    with Run.open(path) as run:
        chain = next((one for one in run.chains() if one.id == chain_id), None)
        if chain is None:
            raise UserError(f"chain {chain_id[:40]!r} is not in {path.name}. Choose one of its chains")
        scorer_id = resolve_scorer(run, scorer or _default_scorer(run))
        if get_cutter(chain.cutter_id).rule is None:
            raise UserError("the steps of this chain are tokens: the workbench shows chains that are cut by text")
        condition = condition or _most(conditions_of(run, chain))
        found = list(paths(run, chain, scorer_id=scorer_id, condition=condition, depth=depth))
        report = chain_report(run, chain, StudyView(scorer_id, condition), found=found)
        problem = run.problems()[chain.problem_id]
        tree = _tree(run, chain, scorer_id, found)
        if grown in tree and tree.nodes[grown]["kind"] == "branch":
            tree = _grown(run, chain, scorer_id, found, tree, grown)
    spine = tree.graph["spines"][0]
    on_spine = set(spine)
    ids = [*spine, *(node for node in tree if node not in on_spine)]
    labelled = any(step.category for step in report.steps)
    return Studied(
        path,
        chain,
        problem,
        scorer_id,
        condition,
        report,
        found,
        tree,
        ids,
        {node: place for place, node in enumerate(ids)},
        layout(tree),
        _alternatives(chain, problem, report, found, labelled),
    )


def _most(found: dict[ConditionIds, int]) -> ConditionIds | None:
    """The condition with most rollouts."""
    return max(found, key=lambda pair: found[pair], default=None)


@st.cache_resource(max_entries=8, show_spinner=False)
def first_bytes(path: Path, at: tuple[int, ...], chain_id: str) -> bytes | None:
    """The chain's text and spine alone, for a large run, to read while its rollouts are read; None for a small one."""
    with Run.open(path) as run:
        if run.summary().rollouts < LARGE:
            return None
        chain = next((one for one in run.chains() if one.id == chain_id), None)
        if chain is None:
            return None
        labels = {score.subject_id: score.value.get("category") for score in run.scores("step")}
    waiting = _json(Estimate.missing("its rollouts are being read"))
    steps: list[dict[str, Any]] = []
    for i, step in enumerate(chain.steps):
        category = labels.get(f"{chain.id}/{step.idx}")
        steps.append(
            {
                "idx": step.idx,
                "kept": i,
                "span": 1,
                "text": trimmed(step.text),
                "category": category,
                "cat": CATEGORIES.index(category or "unknown"),
                "backtracks": False,
                "metric": waiting,
                "delta": waiting,
                "before": waiting,
                "after": waiting,
                "strength": 0.0,
                "stands": False,
                "over": "",
                "alternatives": [],
                "more_n": 0,
            }
        )
    n = len(steps) + 1
    header = {
        "chain": chain.id,
        "metric": "ΔV",
        "signed": True,
        "largest": 0.0,
        "categories": list(CATEGORIES),
        "outcomes": list(OUTCOMES),
        "left_out": 0,
        "at": {"step": -1, "node": -1},
        "steps": steps,
        "curve": [],
        "shares": [],
    }
    line = np.arange(n)
    nan = np.full(n, _NAN, np.float32)
    arrays: dict[str, NDArray[Any]] = {
        "x": np.zeros(n, np.float32),
        "y": line.astype(np.float32),
        "parent": (line - 1).astype(np.int32),
        "value": nan,
        "low": nan,
        "high": nan,
        "share": nan,
        "visits": np.ones(n, np.uint32),
        "kept": line.astype(np.int32),
        "spine": np.ones(n, np.uint8),
        "category": np.full(n, 255, np.uint8),
        "text": np.zeros(n, np.uint32),
        "text_bytes": np.zeros(0, np.uint8),
        "text_ends": np.zeros(2, np.uint32),
    }
    return pack(ViewData(header, arrays))


def _default_scorer(run: Run) -> str:
    known = run.scorers()
    answering = [name for name in known if name.startswith("answers")]
    if not known:
        raise UserError("nobody has judged the rollouts of this run. Run `cotlab score RUN answers`, then reload")
    return (answering or known)[-1]


def _tree(run: Run, chain: Chain, scorer_id: str, found: list[RolloutPath]) -> Tree:
    return build_tree(run, [chain], scorer_id=scorer_id, max_nodes=MAX_NODES, found={chain.id: found})


def _grown(run: Run, chain: Chain, scorer_id: str, found: list[RolloutPath], tree: Tree, node: str) -> Tree:
    """The tree once more, one branch of it to its end."""
    texts: list[str] = []
    at = node
    while tree.nodes[at]["kind"] == "branch":
        (parent,) = tree.predecessors(at)
        texts.append(tree.edges[parent, at]["text"])
        at = parent
    members = {p.passage.rollout_id for p in saying(found, tree.nodes[at]["step"], texts[::-1])}
    return _tree(run, chain, scorer_id, lengthened(run, chain, found, members))


def _alternatives(
    chain: Chain, problem: Problem, report: ChainReport, found: list[RolloutPath], labelled: bool
) -> tuple[tuple[Alternative, ...], ...]:
    group = by_tiny_state(problem) if labelled and _has_states(problem) else by_text
    here = by_position([path.passage for path in found], len(chain.steps))
    return tuple(
        tuple(alternatives_at(chain, step.idx, [found[i] for i in here[step.idx]], group=group, most=LISTED))
        if step.value_before.n
        else ()
        for step in report.steps
    )


def _has_states(problem: Problem) -> bool:
    from cotlab import tiny

    return tiny.problem_from_question(problem.question) is not None


@st.cache_resource(max_entries=6, show_spinner=False)
def view_bytes(_studied: Studied, key: tuple[Any, ...], metric: str, step: int, branch: str) -> bytes:
    """What the component is sent; `key` says what `_studied` was read from."""
    return pack(_view(_studied, metric, step, branch))


def _view(studied: Studied, metric_key: str, step: int, branch: str) -> ViewData:
    report, metric = studied.report, metric_of(metric_key)
    estimates = [metric.of(one) for one in report.steps]
    largest = max((abs(e.value) for e in estimates if e.value is not None), default=0.0)
    header = {
        "chain": studied.chain.id,
        "metric": metric.name,
        "signed": metric.signed,
        "largest": largest,
        "categories": list(CATEGORIES),
        "outcomes": list(OUTCOMES),
        "left_out": studied.tree.graph["left_out"],
        "at": {"step": step, "node": studied.place.get(branch, -1) if branch else -1},
        "steps": [_step(studied, i, e, largest) for i, e in enumerate(estimates)],
        "curve": _curve(studied),
        "shares": [[s.idx, [s.outcome_shares.get(o, 0.0) for o in OUTCOMES]] for s in report.steps if s.outcome_shares]
        + [[len(studied.chain.steps), [report.final_shares.get(o, 0.0) for o in OUTCOMES]]],
    }
    # The axis counts what the reader sees: steps of the report, which may join several of the chain.
    number = {studied.kept(i): i for i in range(len(report.steps))} | {len(studied.chain.steps): len(report.steps)}
    header["curve"] = [[number[kept], e] for kept, e in header["curve"]]
    header["shares"] = [[number[kept], shares] for kept, shares in header["shares"]]
    return ViewData(header, _arrays(studied, number))


def _curve(studied: Studied) -> list[list[Any]]:
    steps = studied.report.steps
    points = [[step.idx, _json(step.value_before)] for step in steps]
    return [*points, [len(studied.chain.steps), _json(steps[-1].value_after)]] if steps else []


def _step(studied: Studied, i: int, estimate: Estimate, largest: float) -> dict[str, Any]:
    step: StepReport = studied.report.steps[i]
    found, children = studied.alternatives[i], _children(studied, i)
    importance = step.importance
    beyond = importance.q is not None and importance.q < 0.05
    return {
        "idx": step.idx,
        "kept": i,
        "span": 1,
        "text": trimmed(step.text) or readable(clip(step.text)),
        "category": step.category,
        "cat": CATEGORIES.index(step.category or "unknown"),
        "backtracks": bool(step.backtracks),
        "metric": _json(estimate),
        "delta": _json(importance),
        "before": _json(step.value_before),
        "after": _json(step.value_after),
        "strength": abs(estimate.value) / largest if estimate.value is not None and largest else 0.0,
        "stands": beyond,
        "over": overdetermined(step),
        "alternatives": [_alternative(studied, i, one, children) for one in found],
        "more_n": step.value_before.n - sum(one.n for one in found),
    }


def _alternative(studied: Studied, i: int, one: Alternative, children: dict[str, int]) -> dict[str, Any]:
    return {
        "text": one_line(one.text, 400),
        "n": one.n,
        "share": one.share,
        "value": _json(one.value),
        "answers": [[one_line(answer, 40), n] for answer, n in list(one.answers.items())[:6]],
        "base": one.same_as_base,
        "node": children.get(one.text, -1),
    }


def _children(studied: Studied, i: int) -> dict[str, int]:
    """Places of the nodes that follow the prefix before a step, by what they say."""
    tree, parent = studied.tree, studied.chain.prefix(studied.kept(i)).id
    if parent not in tree:
        return {}
    return {tree.edges[parent, child]["text"]: studied.place[child] for child in tree.successors(parent)}


def _json(estimate: Estimate) -> dict[str, Any]:
    kept = ("value", "low", "high", "n", "n1", "null_q95", "q", "reason", "n2")
    return {name: getattr(estimate, name) for name in kept}


def _arrays(studied: Studied, number: dict[int, int]) -> dict[str, NDArray[Any]]:
    tree, ids = studied.tree, studied.ids
    nodes = [tree.nodes[node] for node in ids]
    spine = studied.n_spine
    parents = [next(iter(tree.predecessors(node)), None) for node in ids]
    estimates = [node["value"] for node in nodes]
    places = [studied.positions[node] for node in ids]
    categories = [255] * len(ids)
    for step in studied.report.steps:
        node = studied.chain.prefix(step.idx + 1).id if step.idx < len(studied.chain.steps) else ""
        if node in studied.place and step.category:
            categories[studied.place[node]] = CATEGORIES.index(step.category)
    visits = np.array([max(1, sum(node["outcomes"].values()), node["visits"]) for node in nodes], np.uint32)
    right = np.array([_share(node["outcomes"]) for node in nodes], np.float32)
    kept = [_kept(studied, place, parents, number) for place in range(spine)]
    texts, index = _texts(studied, parents)
    return {
        "x": np.array([x for x, _ in places], np.float32),
        "y": np.array([y for _, y in places], np.float32),
        "parent": np.array([-1 if p is None else studied.place[p] for p in parents], np.int32),
        "value": _floats(e.value for e in estimates),
        "low": _floats(e.low for e in estimates),
        "high": _floats(e.high for e in estimates),
        "share": right,
        "visits": visits,
        "kept": np.array([*kept, *([0] * (len(ids) - spine))], np.int32),
        "spine": np.array([1] * spine + [0] * (len(ids) - spine), np.uint8),
        "category": np.array(categories, np.uint8),
        "text": np.array(index, np.uint32),
        **texts,
    }


def _kept(studied: Studied, place: int, parents: list[str | None], number: dict[int, int]) -> int:
    """Steps of the report up to a node of the spine; where several steps are shown as one, those before it."""
    kept = int(studied.tree.nodes[studied.ids[place]]["step"])
    return number[max(known for known in number if known <= kept)]


def _share(outcomes: dict[str, int]) -> float:
    judged = sum(n for name, n in outcomes.items() if name != "unjudged")
    return outcomes["correct"] / judged if judged else _NAN


def _floats(values: Any) -> NDArray[np.float32]:
    return np.array([_NAN if value is None else value for value in values], np.float32)


def _texts(studied: Studied, parents: list[str | None]) -> tuple[dict[str, NDArray[Any]], list[int]]:
    """Texts of the nodes, equal ones once, as bytes with their ends; and which is whose."""
    longest = max(40, min(200, NODE_TEXT_BYTES // max(1, len(studied.ids))))
    known: dict[str, int] = {}
    index = []
    for node, parent in zip(studied.ids, parents, strict=True):
        text = "" if parent is None else studied.tree.edges[parent, node]["text"]
        index.append(known.setdefault(text, len(known)))
    packed = [one_line(text, longest).encode("utf-8", "replace") for text in known]
    ends = np.cumsum([0, *(len(one) for one in packed)])
    joined = np.frombuffer(b"".join(packed), np.uint8) if packed else np.zeros(0, np.uint8)
    return {"text_bytes": joined, "text_ends": ends.astype(np.uint32)}, index
