"""Import of Forking Fast stores (`rowNNN.json.gz`): outcome draws behind every likely next token of a greedy response.

A store holds a base response with its token ids, the positions that were looked at, and behind each likely next token
there (`branches`) the answers of 100 to 1,000 continuations; no texts. Of it become

- a greedy chain, each token a step, and its prefixes; what the next tokens are and how likely, as `next-tokens/1` says;
- a prefix for each branch and a rollout without text for each answer, judged by `forking-fast/1`: the category as its
  key, correct or wrong by the question's letter; `Other` is truncated where the continuation has the largest length of
  the store's settings, else unparsable.

The stores do not hold the prompt's token ids: the UTF-8 bytes of question and choices stand for them.
"""

from __future__ import annotations

import codecs
import gzip
import json
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotlab.chains.chain import Chain
from cotlab.chains.next_tokens import NextTokens
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.rollout import FinishReason, Rollout
from cotlab.chains.score import Outcome, Score
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.step import Step
from cotlab.errors import DataError
from cotlab.interventions.base import Baseline
from cotlab.models.engine_card import EngineCard
from cotlab.runs.imports import Imported
from cotlab.runs.run import Run, building
from cotlab.runs.run_identity import RunIdentity

__all__ = ["import_forking_fast"]

SCORER = "forking-fast/1"
PROVENANCE = "imported:forking-fast"
MAX_BYTES = 256 << 20
"""Of a store, unpacked; published ones have under 30 MB."""
OTHER = "Other"


@dataclass(frozen=True, slots=True)
class _Branch:
    t: int
    token: int
    p: float
    answers: tuple[str, ...]
    lengths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Store:
    """One checked row."""

    where: str
    model: str
    question: str
    choices: tuple[str, ...]
    letter: str
    token_ids: tuple[int, ...]
    texts: tuple[str, ...]
    finish: FinishReason
    categories: tuple[str, ...]
    branches: tuple[_Branch, ...]
    temperature: float
    base_max: int
    new_max: int


def import_forking_fast(path: Path, out: Path) -> Imported:
    """Make a run of a store, or of all `*.json.gz` of a folder.

    Raises:
        DataError: There is no store, one cannot be read, or they are of several models; one line that says which.
        RunError: `out` holds something, or cannot be written.
    """
    files = sorted(path.rglob("*.json.gz")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path} holds no *.json.gz: give a Forking Fast store or a folder of them")
    first = _read(files[0])
    card = EngineCard("forking-fast", first.model, "", "unknown", "forking-fast", "")
    identity = RunIdentity(first.model, "unknown", "forking-fast", "", "", title=f"imported {path.name}")
    with building(out, identity) as work:
        with Run.open(work, writable=True) as run:
            run.add_engine_card(card)
            run.add_intervention(Baseline())
            study_id = run.add_study({"kind": "import", "format": "forking-fast"}, 0)
            for file in files:
                store = _read(file)
                if store.model != first.model:
                    raise DataError(f"{file} is of {store.model}, others of {first.model}: import them into runs apart")
                with run.transaction():
                    _write(run, store, card, study_id)
            summary = run.summary()
    notes = (
        "the stores hold outcomes only: rollouts have no text and no token ids",
        "the prompt's token ids are not in the stores: UTF-8 bytes of question and choices stand for them",
    )
    return Imported(out, "forking-fast", summary.chains, summary.rollouts, notes)


def _write(run: Run, store: _Store, card: EngineCard, study_id: str) -> None:
    text = "\n".join(
        (store.question, *(f"({letter}) {c}" for letter, c in zip("ABCDEFGHIJ", store.choices, strict=False)))
    )
    problem = Problem(store.question, store.letter, "choice", store.choices, Path(store.where).name.partition(".")[0])
    prompt_ids = tuple(text.encode())
    prompt = Prefix(prompt_ids, len(prompt_ids))
    run.add_problems([problem])
    run.add_prefix(prompt, problem.id, text=text)
    chain = _add_chain(run, store, card, study_id, problem, prompt)
    settings = SamplingSettings(store.temperature, 1.0, 0, store.base_max + store.new_max)
    run.add_settings(settings)
    by_position: dict[int, list[_Branch]] = {}
    for branch in store.branches:
        by_position.setdefault(branch.t, []).append(branch)
    for t, branches in sorted(by_position.items()):
        prefix = chain.prefix(t)
        run.add_scores([NextTokens(prefix.id, tuple((b.token, b.p) for b in branches)).score()])
        for branch in branches:
            child = prefix.extend((branch.token,))
            run.add_prefix(child, problem.id, parent=prefix, spec={"next_token": branch.token, "p": branch.p})
            _add_rollouts(run, store, branch, child, settings, card, study_id)


def _add_chain(run: Run, store: _Store, card: EngineCard, study_id: str, problem: Problem, prompt: Prefix) -> Chain:
    greedy = SamplingSettings(0.0, 1.0, 0, store.base_max)
    run.add_settings(greedy)
    base = Rollout(
        prompt.id, Baseline().id, greedy.id, card.id, 0, 0, "".join(store.texts), store.finish, store.token_ids,
        provenance=PROVENANCE,
    )  # fmt: skip
    run.add_rollouts([base], study_id=study_id)
    run.add_scores([Score("rollout", base.id, SCORER, {"answer": None, "key": None, "outcome": "unjudged"})])
    steps = tuple(Step(i, i, i + 1, text) for i, text in enumerate(store.texts))
    chain = Chain(problem.id, base.id, prompt.token_ids, store.token_ids, "tokens/1", steps, "greedy")
    run.add_chain(chain)
    run.add_chain_prefixes(chain)
    return chain


def _add_rollouts(
    run: Run, store: _Store, branch: _Branch, child: Prefix, settings: SamplingSettings, card: EngineCard, study_id: str
) -> None:
    rollouts, scores = [], []
    for idx, (answer, length) in enumerate(zip(branch.answers, branch.lengths, strict=True)):
        full = length >= store.new_max
        rollout = Rollout(
            child.id, Baseline().id, settings.id, card.id, idx, 0, "", "length" if full else "stop", None,
            provenance=PROVENANCE,
        )  # fmt: skip
        outcome: Outcome = "correct" if answer == store.letter else "wrong"
        if answer == OTHER:
            outcome = "truncated" if full else "unparsable"
        key = None if answer == OTHER else answer
        rollouts.append(rollout)
        value = {"answer": key, "key": key, "outcome": outcome, "n_tokens": length}
        scores.append(Score("rollout", rollout.id, SCORER, value))
    run.add_rollouts(rollouts, study_id=study_id)
    run.add_scores(scores)


def _read(path: Path) -> _Store:
    try:
        with gzip.open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise DataError(f"{path} unpacks to more than the {MAX_BYTES:,} bytes that are read")
        row = json.loads(data)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} cannot be read as gzipped JSON: {error}") from error
    try:
        return _checked(row, str(path))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{path} is no Forking Fast store: {what}") from error


def _checked(row: dict[str, Any], where: str) -> _Store:
    meta, base, config = row["meta"], row["base"], row["config"]
    ids = tuple(int(token) for token in base["gen_ids"])
    texts = _readable([str(text) for text in base["token_texts"]])
    if len(texts) != len(ids) or not ids:
        raise ValueError(f"base has {len(ids)} token ids and {len(texts)} texts")
    categories = tuple(str(name) for name in row["categories"])
    branches = tuple(_branch(one, len(ids), categories) for one in row["branches"])
    keys = [(one.t, one.token) for one in branches]
    if len(set(keys)) != len(keys):
        raise ValueError("a position has the same next token twice")
    return _Store(
        where=where,
        model=str(meta["model"]),
        question=str(meta["question"]),
        choices=tuple(str(choice) for choice in meta["choices"]),
        letter=str(meta["answer_letter"]),
        token_ids=ids,
        texts=texts,
        finish="length" if base["finish_reason"] == "length" else "stop",
        categories=categories,
        branches=branches,
        temperature=float(config["cont_temperature"]),
        base_max=int(config["base_max_tokens"]),
        new_max=int(config["cont_max_tokens"]),
    )


def _branch(one: dict[str, Any], n: int, categories: tuple[str, ...]) -> _Branch:
    t, p = int(one["t"]), float(one["tok_p"])
    answers = tuple(str(answer) for answer in one["answers"])
    if not 0 <= t < n:
        raise ValueError(f"a branch is at token {t}, the response has {n}")
    if not (math.isfinite(p) and 0 < p <= 1.0001):
        raise ValueError(f"a branch at token {t} has the probability {p}")
    unknown = sorted(set(answers) - set(categories) - {OTHER})
    if unknown:
        raise ValueError(f"a branch at token {t} has the answer {unknown[0]!r}, which is no category")
    lengths = tuple(int(length) for length in one["cont_lens"])
    if len(lengths) != len(answers):
        raise ValueError(f"a branch at token {t} has {len(answers)} answers and {len(lengths)} lengths")
    return _Branch(t, int(one["tok_id"]), p, answers, lengths)


def _readable(texts: list[str]) -> tuple[str, ...]:
    """Texts as they read; byte-level ones (`Ġthe`) are decoded, each token as far as its bytes are whole characters."""
    if not any("Ġ" in text or "Ċ" in text for text in texts):
        return tuple(texts)
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {chr(byte): byte for byte in printable}
    letters |= {chr(256 + i): byte for i, byte in enumerate(b for b in range(256) if b not in set(printable))}
    pieces = [bytes(letters[c] for c in text) if set(text) <= letters.keys() else text.encode() for text in texts]
    decoder = codecs.getincrementaldecoder("utf-8")("ignore")
    return tuple(decoder.decode(piece) for piece in pieces)
