"""Do other learners beside the random field bring agreement to the aim of κ 0.55? On whole problems; see README.md.

    python experiments/sentence-categories/ensemble.py --data FOLDER [--minilm]      # ensemble.json

1. A fold is a problem, as in classify.py: its traces are seen by nothing that is fitted or chosen for it.
2. Members: the field that ships; random trees on its dense features and the neighbours'; logistic regression on
   MiniLM vectors of a sentence and its neighbours (--minilm). The geometric mean of their probabilities may be
   smoothed over the sequence.
3. Nothing is chosen on the folds: members weigh the same, the decision weighs the prior as the shipped model does, and
   every row that was tried is printed, with and without smoothing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
from classify import JUDGED, Told, read_traces
from fit import Labelled, Penalty, fit
from numpy.typing import NDArray

from cotlab.categories.model import PRIOR_POWER, marginals

HERE = Path(__file__).parent
FloatArray = NDArray[np.float64]
Member = Callable[[list[Labelled], list[Labelled]], list[FloatArray]]
"""Probabilities of the second traces, [sentences, categories] each, from training on the first."""
DENSE, NEAR = ("cue", "form:", "place:", "again:", "phase:"), ("form:", "again:", "phase:")
SMOOTH = (0.0, 0.3)
"""Part of the log odds of neighbours that counts: the field has smoothed its own already."""


def field(train: list[Labelled], test: list[Labelled]) -> list[FloatArray]:
    """The field that the package ships, trained on traces alone."""
    model = fit(train, JUDGED, Penalty())
    return [model.from_features(trace.features) for trace in test]


def trees(train: list[Labelled], test: list[Labelled]) -> list[FloatArray]:
    """Many random trees on cues, form, place, again and phase of a sentence and of its neighbours."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.feature_extraction import DictVectorizer

    table = DictVectorizer(sparse=False, dtype=np.float32)
    rows = table.fit_transform(_wider(train))
    model = ExtraTreesClassifier(200, min_samples_leaf=3, max_features=0.1, random_state=0)
    model.fit(rows, [label for trace in train for label in trace.labels])
    order = [list(model.classes_).index(category) for category in JUDGED]
    return _apart(model.predict_proba(table.transform(_wider(test)))[:, order], test)


def _wider(traces: list[Labelled]) -> list[dict[str, float]]:
    rows = []
    for trace in traces:
        own = [{name: value for name, value in row.items() if name.startswith(DENSE)} for row in trace.features]
        near = [{name: value for name, value in row.items() if name.startswith(NEAR)} for row in own]
        for idx, row in enumerate(own):
            wide = dict(row)
            for offset in (-2, -1, 1, 2):
                if 0 <= idx + offset < len(near):
                    wide |= {f"{name}@@{offset}": value for name, value in near[idx + offset].items()}
            rows.append(wide)
    return rows


def meaning(train: list[Labelled], test: list[Labelled]) -> list[FloatArray]:
    """Logistic regression on MiniLM vectors of a sentence and of its neighbours on both sides."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=0.3, max_iter=80, class_weight="balanced")
    model.fit(_vectors(train), [label for trace in train for label in trace.labels])
    order = [list(model.classes_).index(category) for category in JUDGED]
    return _apart(model.predict_proba(_vectors(test))[:, order], test)


_EMBEDDER: list[Any] = []


def _vectors(traces: list[Labelled]) -> FloatArray:
    from cotlab.measures import MiniLM

    if not _EMBEDDER:
        _EMBEDDER.append(MiniLM())
    rows = []
    for trace in traces:
        own = _EMBEDDER[0].embed(trace.sentences)
        edge = np.zeros((1, own.shape[1]))
        place = np.arange(len(own))[:, None] / len(own)
        rows.append(np.hstack([own, 0.5 * np.vstack([edge, own[:-1]]), 0.5 * np.vstack([own[1:], edge]), place]))
    return np.vstack(rows)


def _apart(found: FloatArray, traces: list[Labelled]) -> list[FloatArray]:
    return np.split(found, np.cumsum([len(trace.labels) for trace in traces])[:-1])


def together(parts: Sequence[FloatArray]) -> FloatArray:
    """Geometric mean of probabilities, [sentences, categories]."""
    mean = np.exp(np.mean([np.log(np.maximum(part, 1e-4)) for part in parts], axis=0))
    shares: FloatArray = mean / mean.sum(axis=1, keepdims=True)
    return shares


class Sequences:
    """Which category follows which, learned from labelled traces, and the share of each."""

    def __init__(self, train: list[Labelled]) -> None:
        index: dict[str, int] = {category: i for i, category in enumerate(JUDGED)}
        pairs, share = np.ones((len(JUDGED), len(JUDGED))), np.ones(len(JUDGED))
        for trace in train:
            at = [index[label] for label in trace.labels]
            np.add.at(share, at, 1)
            np.add.at(pairs, (at[:-1], at[1:]), 1)
        self.prior = share / share.sum()
        self.lift = np.log(pairs / pairs.sum(axis=1, keepdims=True) / self.prior)

    def decide(self, found: FloatArray, smooth: float) -> list[str]:
        """Smooth over the sequence, weigh against the prior, say the best."""
        scores = marginals(np.log(found), smooth * self.lift, np.zeros(len(JUDGED)))
        return [JUDGED[at] for at in np.argmax(scores / self.prior**PRIOR_POWER, axis=1)]


def judged(traces: list[Labelled], said: Sequence[dict[str, list[FloatArray]]], smooth: float) -> dict[str, Any]:
    """κ of members together."""
    problems = sorted({trace.problem for trace in traces})
    truth, told, clusters = list[str](), list[str](), list[str]()
    for problem in problems:
        sequences = Sequences([trace for trace in traces if trace.problem != problem])
        here = [trace for trace in traces if trace.problem == problem]
        for trace, *parts in zip(here, *(one[problem] for one in said), strict=True):
            told += sequences.decide(together(parts), smooth)
            truth += trace.labels
            clusters += [problem] * len(trace.labels)
    return Told(tuple(truth), tuple(told), tuple(clusters)).kappa()


def main() -> None:
    """Leave each problem out once for each member, judge members alone and together, write ensemble.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minilm", action="store_true", help="also the member that needs the extra `sentences`")
    parser.add_argument("--out", type=Path, default=HERE / "ensemble.json")
    asked = parser.parse_args()
    began, traces = time.process_time(), read_traces(asked.data)
    members: dict[str, Member] = {"field": field, "trees": trees, **({"meaning": meaning} if asked.minilm else {})}
    said: dict[str, dict[str, list[FloatArray]]] = {}
    found: list[dict[str, Any]] = []
    for name, member in members.items():
        said[name] = {}
        for problem in sorted({trace.problem for trace in traces}):
            train = [trace for trace in traces if trace.problem != problem]
            said[name][problem] = member(train, [trace for trace in traces if trace.problem == problem])
        print(f"{name}: fitted, {time.process_time() - began:.0f} CPU seconds so far", flush=True)
        groups = [group for n in range(1, len(said) + 1) for group in combinations(said, n) if name in group]
        for group, smooth in product(groups, SMOOTH):
            row = judged(traces, [said[one] for one in group], smooth)
            told = {"members": group, "smooth": smooth, **row}
            print(f"| {' + '.join(group)} | {smooth:g} | {row['kappa']} | {row['low']} to {row['high']} |", flush=True)
            found.append(told)
    result = {"kappa": found, "cpu_seconds": round(time.process_time() - began)}
    asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
