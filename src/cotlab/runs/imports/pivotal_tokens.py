"""Import of pivotal tokens (codelion/pts, JSONL): where one token or sentence moved the chance of a right answer.

Each row has event_type, granularity, label (what was said), context (everything before it), position, prob_before,
prob_after, delta, score, category, metadata. It becomes a chain of one step after its context; the numbers become
verdicts of `pivotal-tokens/1` on that step. There are no rollouts behind them: shares without numbers of draws give no
intervals.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cotlab.chains.chain import Chain
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.rollout import Rollout, text_ids
from cotlab.chains.score import Score, step_subject
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.step import Step
from cotlab.errors import DataError
from cotlab.interventions import Baseline
from cotlab.models import EngineCard
from cotlab.runs.imports import Imported
from cotlab.runs.imports.checked import Fields
from cotlab.runs.imports.sources import MAX_BYTES, parse_json
from cotlab.runs.run import Run, building
from cotlab.runs.run_identity import RunIdentity

__all__ = ["NUMBERS", "PROVENANCE", "SCORER", "TEXTS", "import_pivotal_tokens"]

SCORER = "pivotal-tokens/1"
PROVENANCE = "given:pivotal-tokens"
TEXTS = ("event_type", "granularity", "category")
NUMBERS = ("position", "prob_before", "prob_after", "delta", "score")
TEXT_TOKENIZER = "utf-8"


def import_pivotal_tokens(path: Path, out: Path) -> Imported:
    """Make a run of the rows of a JSONL file.

    Raises:
        DataError: The file cannot be read, or a row is wrong; one line with its number.
        RunError: `out` holds something, or cannot be written.
    """
    rows = _rows(path)
    models = {
        str(row.values["metadata"].get("model", "")) for row in rows if isinstance(row.values.get("metadata"), dict)
    }
    model = next(iter(models)) if len(models) == 1 else ""
    identity = RunIdentity(
        model or "unknown model", TEXT_TOKENIZER, "pivotal-tokens", "", "", title=f"imported {path.name}"
    )
    with building(out, identity) as work:
        with Run.open(work, writable=True) as run, run.transaction():
            card = EngineCard("pivotal-tokens", identity.model, "", TEXT_TOKENIZER, "pivotal-tokens", "")
            run.add_engine_card(card)
            run.add_settings(SamplingSettings())
            run.add_intervention(Baseline())
            study_id = run.add_study({"kind": "import", "format": "pivotal-tokens"}, 0)
            for row in rows:
                _store(run, row, card, study_id)
            summary = run.summary()
    note = "the numbers came without draws, so they have no intervals: see the verdicts of pivotal-tokens/1"
    return Imported(out, "pivotal-tokens", summary.chains, summary.rollouts, (note,))


def _rows(path: Path) -> list[Fields]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} is larger than the {MAX_BYTES:,} bytes that are read")
        text = path.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"{str(path)!r} cannot be read: {error}") from error
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            fields = Fields(parse_json(line, f"{path}, line {number}"), f"{path}, line {number}")
            for name in (*TEXTS, "label", "context"):
                fields.text(name, "")
            for name in NUMBERS:
                fields.number(name)
            found.append(fields)
    if not found:
        raise DataError(f"{path} has no rows: expected one JSON object a line")
    return found


def _store(run: Run, row: Fields, card: EngineCard, study_id: str) -> None:
    context, label = row.text("context"), row.text("label")
    if not context or not label:
        raise DataError(f"{row.where}: context or label is empty")
    metadata: Any = row.values.get("metadata")
    question = str(metadata.get("query") or context) if isinstance(metadata, dict) else context
    problem, prompt = Problem(question), Prefix(text_ids(context), len(text_ids(context)))
    run.add_problems([problem])
    run.add_prefix(prompt, problem.id, text=context)
    index = len(run.have(prompt.id, Baseline().id, SamplingSettings().id, card.id))
    rollout = Rollout(
        prompt.id, Baseline().id, SamplingSettings().id, card.id, index, 0, label, "length", None, provenance=PROVENANCE
    )
    run.add_rollouts([rollout], study_id=study_id)
    step = Step(0, 0, len(text_ids(label)), label)
    chain = Chain(problem.id, rollout.id, prompt.token_ids, text_ids(label), "sentences/1", (step,), "given")
    run.add_chain(chain)
    run.add_chain_prefixes(chain)
    value = {name: row.values[name] for name in (*TEXTS, *NUMBERS, "metadata") if name in row.values}
    run.add_scores(
        [
            Score("rollout", rollout.id, SCORER, {"answer": None, "key": None, "outcome": "unjudged"}),
            Score("step", step_subject(chain.id, 0), SCORER, value),
        ]
    )
