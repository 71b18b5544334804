"""What can be read off the inside of a model along its responses, and how early, beside what tells it without.

A step of a response does something or not (it loses the way, it goes back); readers look at the end of a step, at it or
some steps before. All are fitted on some problems and judged on others, and beside them stand the place in the response
and the words there. What may be chosen is fixed beforehand: the layer (of the autoencoder that comes with the tiny
reasoner, else two thirds of the way up), the penalties, the number of features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.step import Step
from cotlab.errors import CotlabError
from cotlab.reports import Finding
from cotlab.runs import Run
from cotlab.sampling import FinishedStudy
from cotlab.stats import Estimate, NullRate, block_shuffles, cluster_auc, cluster_auc_difference, null_rate
from experiments.rules import read_off, reads_beyond

if TYPE_CHECKING:
    from torch import Tensor

    from cotlab.interventions import SparseAutoencoder
    from cotlab.whitebox import Examples, Inside, LabelledRollout

__all__ = [
    "BEFORE",
    "Extra",
    "Marked",
    "Opened",
    "Place",
    "Reader",
    "findings",
    "open_inside",
    "places_of",
    "rates",
    "said_next",
    "whole_rollouts",
]

BEFORE = {0: "at its end", 1: "one step before its end", 2: "two steps before its end"}
"""Steps between what is read and the end of the step that it is about."""
PENALTY = 0.01
"""C of the probe, on standardised activations."""
BLOCK = 256
"""Examples whose next tokens are computed at once."""
FEWER = 100
"""Draws of problems, and shuffles, of each row of a shuffled analysis."""
Scores = NDArray[np.float64]
Labels = NDArray[np.bool_]
Reader: TypeAlias = Callable[[Labels, Labels], Scores]
"""Labels and which examples to learn from, to a score of each example, higher where the label is likelier."""
Extra: TypeAlias = "Callable[[Sequence[LabelledRollout], Examples, Examples], Reader]"
"""Makes a reader of responses and their activations, at the layer and at the last one."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The model, and what reads it."""

    inside: Inside
    layer: int
    sae: SparseAutoencoder | None
    lacking: str
    """Why there is no autoencoder."""


@dataclass(frozen=True, slots=True)
class Marked:
    """A response, and what each of its steps does; None where that is not asked of a step."""

    problem_id: str
    whole: Prefix
    """Prompt and response."""
    steps: tuple[Step, ...]
    labels: tuple[bool | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Examples that stand equally many steps before what they are about."""

    examples: Examples
    """At the layer that probe and features read."""
    readers: dict[str, Reader]
    lacking: dict[str, str] = field(default_factory=dict)
    """Readers that there are none of, and why."""


def open_inside(model: str) -> Opened | str:
    """The model, open; why not, where it cannot be."""
    from cotlab.saes import SHIPPED, fit_sae, open_sae
    from cotlab.whitebox import Inside

    try:
        inside = Inside.open(model)
    except CotlabError as error:
        return str(error)
    try:
        sae = fit_sae(open_sae(SHIPPED), model).load()
        return Opened(inside, sae.point.layer or 0, sae, "")
    except CotlabError:
        return Opened(inside, 2 * inside.shape.n_layers // 3, None, f"no autoencoder of {model} comes with cotlab")


def places_of(opened: Opened, marked: Sequence[Marked], before: int, extra: Mapping[str, Extra] | None = None) -> Place:
    """Read responses at the ends of steps.

    Args:
        opened: The model.
        marked: Responses.
        before: Steps between what is read and the end of the step that it is about.
        extra: Further readers, by name.
    """
    from cotlab.interventions.hook_points import HookPoint
    from cotlab.whitebox import read_examples
    from cotlab.whitebox.run_examples import LabelledRollout

    rows = []
    for one in marked:
        at = [i - before for i, label in enumerate(one.labels) if label is not None and i >= before]
        if at:
            n = one.whole.n_prompt
            rows.append(
                LabelledRollout(
                    one.whole.token_ids,
                    one.problem_id,
                    tuple(n + one.steps[i].end - 1 for i in at),
                    tuple(bool(one.labels[i + before]) for i in at),
                    tuple(at),
                    tuple((one.steps[i - 1].text if i else "") + one.steps[i].text for i in at),
                    n,
                )
            )
    points = [HookPoint("resid_post", layer) for layer in (opened.layer, opened.inside.shape.n_layers - 1)]
    found = read_examples(opened.inside, rows, list(dict.fromkeys(points)), "label")
    examples, last = found[points[0]], found[points[1]]
    readers, lacking = _readers(opened, examples), {} if opened.sae is not None else {"features": opened.lacking}
    for name, of in (extra or {}).items():
        readers[name] = of(rows, examples, last)
    return Place(examples, readers, lacking)


def whole_rollouts(
    run: Run, study: FinishedStudy, opened: Opened, n: int
) -> Iterator[tuple[Problem, Prefix, tuple[Step, ...]]]:
    """Rollouts of a study from prompts with their sentences: n in all, of each problem as many as far as there are."""
    from cotlab.chains.cutting import get_cutter
    from cotlab.whitebox.run_examples import chosen_rollouts

    problems, owner = run.problems(), {row.id: row.problem_id for row in run.prefixes()}
    cutter = get_cutter("sentences")
    for rollout in chosen_rollouts(run, owner, n, 0, whole=True, engine_card_id=study.engine_card_id):
        ids = rollout.token_ids or ()
        whole = run.prefix(rollout.prefix_id).extend(ids)
        yield problems[owner[rollout.prefix_id]], whole, tuple(cutter.cut(ids, opened.inside.tokenizer))


def _readers(opened: Opened, examples: Examples) -> dict[str, Reader]:
    from cotlab.whitebox.probe_fit import fit_rows

    x, problems = examples.x.astype(float), examples.problems
    tokens, steps = examples.place.T
    where = np.column_stack([tokens, steps, np.log1p(tokens), np.log1p(steps), steps**2])

    def linear(rows: Scores, penalty: float) -> Reader:
        def read(y: Labels, train: Labels) -> Scores:
            weight, bias = fit_rows(rows[train], y[train], problems[train], "logistic", 0, penalty)
            return np.asarray(rows @ weight + bias)

        return read

    readers = {"place alone": linear(where, 1.0), "wording alone": _wording(examples.texts)}
    readers[f"probe, layer {opened.layer}"] = linear(x, PENALTY)
    if opened.sae is not None:
        from cotlab.whitebox.sparse_probe import SPARSE_K, encoded, fit_sparse_probe

        active = encoded(opened.sae, x)

        def features(y: Labels, train: Labels) -> Scores:
            return fit_sparse_probe(active[np.flatnonzero(train)], y[train], problems[train])(active)

        readers[f"{SPARSE_K} features, layer {opened.layer}"] = features
    return readers


def said_next(opened: Opened, examples: Examples) -> Iterator[Tensor]:
    """Log probabilities [examples, vocabulary] of the next token by the logit lens at their layer, in blocks."""
    import torch

    for first in range(0, len(examples.x), BLOCK):
        hidden = torch.from_numpy(examples.x[first : first + BLOCK])
        with torch.inference_mode():
            logits = opened.inside.modules.logits(hidden.to(opened.inside.model.device, opened.inside.model.dtype))
            said = logits.float().log_softmax(-1)
        yield said


def _wording(texts: Sequence[str]) -> Reader:
    """Logistic regression on TF-IDF of words and pairs of them; the words are counted once for each fold."""
    kept: dict[bytes, Any] = {}

    def read(y: Labels, train: Labels) -> Scores:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        if train.tobytes() not in kept:
            vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", max_features=20_000)
            vectorizer.fit([text for text, here in zip(texts, train, strict=True) if here])
            kept[train.tobytes()] = vectorizer.transform(texts)
        rows = kept[train.tobytes()]
        model = LogisticRegression(C=1.0, solver="liblinear", random_state=0).fit(rows[np.flatnonzero(train)], y[train])
        return np.asarray(model.decision_function(rows))

    return read


def held_out(reader: Reader, y: Labels, problems: NDArray[np.str_], seed: int) -> Scores:
    """Scores of examples by what was fitted on other problems, less their mean over what it was fitted on."""
    from cotlab.whitebox.probe_fit import problem_folds

    fold, found = problem_folds(problems, 5, seed), np.zeros(len(y))
    for held in np.unique(fold):
        train = fold != held
        if y[train].any() and not y[train].all():
            scores = reader(y, train)
            found[~train] = scores[~train] - scores[train].mean()
    return found


@dataclass(frozen=True, slots=True)
class Told:
    """What the readers of a place tell of labels."""

    alone: dict[str, Estimate]
    beyond: dict[str, Estimate]
    """AUC less that of the wording; null mean: of labels moved along each response, which keeps what tells problems."""


def told(place: Place, y: Labels, seed: int, draws: int = 1_000, shuffles: int = 500) -> Told:
    """AUC of each reader on problems that it has not seen, and what it adds to the words."""
    its = place.examples
    if lacking := _too_few(its, y):
        return Told(dict.fromkeys(place.readers, Estimate.missing(lacking, n=len(y))), {})
    scores = {name: held_out(reader, y, its.problems, seed) for name, reader in place.readers.items()}
    clusters, words = its.problems.tolist(), scores["wording alone"]
    alone = {
        name: cluster_auc(one, y, clusters, blocks=its.rollouts, n_boot=draws, n_null=shuffles, seed=seed)
        for name, one in scores.items()
    }
    beyond = {
        name: replace(
            cluster_auc_difference(words, one, y, clusters, n_boot=draws, seed=seed),
            null_mean=(alone[name].null_mean or 0.0) - (alone["wording alone"].null_mean or 0.0),
        )
        for name, one in scores.items()
        if not name.endswith("alone")
    }
    return Told(alone, beyond)


def _too_few(examples: Examples, y: Labels) -> str | None:
    n = min(len(np.unique(examples.problems[y])), len(np.unique(examples.problems[~y])))
    return f"{n} problems have such places and others, at least 5 are needed" if n < 5 else None


def findings(what: str, places: Mapping[int, Place], seed: int, when: Mapping[int, str] = BEFORE) -> list[Finding]:
    """Rows of all readers at all places; they are correlated."""
    found = []
    for before, place in places.items():
        name = f"AUC: {what}, read {when[before]}"
        row = told(place, place.examples.y, seed)
        missing = {reader: Estimate.missing(why) for reader, why in place.lacking.items()}
        for reader, estimate in (row.alone | missing).items():
            found.append(Finding.of(name, estimate, group=reader, evidence="correlated"))
        for reader, estimate in row.beyond.items():
            found.append(Finding.of(f"{name}: beyond the wording", estimate, group=reader, evidence="correlated"))
    return found


def rates(what: str, place: Place, when: str, shuffles: int, seed: int) -> list[NullRate]:
    """How often readers find shuffled labels: moved along each response, around its end; fitted and judged anew."""
    its = place.examples
    if _too_few(its, its.y):
        return []
    generators = np.random.default_rng(seed).spawn(shuffles)
    rows = [_found(place, its, rng) for rng in generators]
    told_of = f"labels moved along each response: {what}, read {when}"
    rules = {
        "alone": "p < .05 and the whole interval above one half and the null's mean",
        "beyond": "the whole interval of what it adds to the wording above 0 and the null's mean",
    }
    return [_rate(rows, key, f"{told_of}: {key[1]}, {rules[key[0]]}") for key in rows[0]]


def _rate(rows: Sequence[Mapping[tuple[str, str], bool]], key: tuple[str, str], analysis: str) -> NullRate:
    turn = iter(rows)
    return null_rate(lambda _: next(turn).get(key, False), analysis=analysis, shuffles=len(rows))


def _found(place: Place, its: Examples, rng: np.random.Generator) -> dict[tuple[str, str], bool]:
    mixed = next(iter(block_shuffles(its.y, its.problems, its.rollouts, 1, rng)), its.y)
    row = told(place, mixed, int(rng.integers(2**31)), FEWER, FEWER)
    found = {("alone", name): read_off(one) for name, one in row.alone.items()}
    return found | {("beyond", name): reads_beyond(one) for name, one in row.beyond.items()}
