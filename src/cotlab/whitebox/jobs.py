"""What jobs do with the white box (`cotlab.sampling.job_kinds`): vectors, hidden steps, readings of a chain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cotlab.chains.chain import Chain
from cotlab.chains.prefix import Prefix
from cotlab.interventions import Where, load_vector
from cotlab.runs import Run
from cotlab.sampling import Budget, Progress, find_chain
from cotlab.sampling.jobs import write_json
from cotlab.sampling.white_box_requests import InsideConfig, SteerConfig, SuppressConfig, reading_file

__all__ = ["READING", "inside_job", "spans_of", "steer_job", "suppress_job"]

READING = "cotlab-inside/1"
LONGEST = 4_000
"""Tokens of a sequence whose attention patterns are read: they take tokens² × heads × 4 bytes a layer."""
RECEIVERS = 20
"""Receiver heads that are named (Thought Anchors, §3.2)."""


def steer_job(config: SteerConfig, progress: Progress) -> dict[str, Any]:
    """Draw the arms (`steer_branch`); returns their effects against the baseline of the same seeds."""
    from cotlab.whitebox.steering_study import steer_branch

    progress.phase("loading the model", 0)
    result = steer_branch(
        config.run,
        load_vector(config.vector),
        step=config.step,
        doses=config.doses,
        chain=config.chain_id,
        where=Where(config.part),  # type: ignore[arg-type]  # `Where` checks it
        n=config.n,
        n_random=config.n_random,
        engine=config.engine,
        budget=Budget.parse(config.budget) if config.budget else None,
        progress=progress,
    )
    return {"sampled_now": config.n * (1 + len(result.arms)), "prefix_id": result.prefix_id, **result.to_json()}


def suppress_job(config: SuppressConfig, progress: Progress) -> dict[str, Any]:
    """Draw the arms (`suppress_run`); returns their effects against the baseline of the same seeds."""
    from cotlab.whitebox.suppressing import suppress_run

    progress.phase("loading the model", 0)
    result = suppress_run(
        config.run,
        config.step,
        kept=config.kept,
        blind_from=config.blind_from,
        heads=config.heads,
        chain=config.chain_id,
        n=config.n,
        n_controls=config.n_controls,
        temperature=config.temperature,
        budget=Budget.parse(config.budget) if config.budget else None,
        progress=progress,
    )
    return {"sampled_now": config.n * (2 + len(result.controls)), **result.to_json()}


def spans_of(chain: Chain) -> list[tuple[int, int]]:
    """Token spans of a chain's steps in prompt and response together."""
    start = len(chain.prompt_ids)
    return [(start + step.start, start + step.end) for step in chain.steps]


def inside_job(config: InsideConfig, progress: Progress) -> dict[str, Any]:
    """Read a chain through the lens, its attention between steps and its probes; writes `reading_file`.

    Raises:
        UserError: The run has no such chain, or its rollouts have no tokens.
        ModelError: The model is not here.
    """
    from cotlab.errors import DataError
    from cotlab.whitebox.inside import Inside

    with Run.open(config.run) as run:
        chain, model = find_chain(run, config.chain_id), run.identity.model
        known = run.rollout(chain.rollout_id).token_ids is not None
    if not known:
        raise DataError(f"chain {chain.id} came without token ids, so no model can be run on it")
    tokens, spans = chain.whole, spans_of(chain)
    ids = tokens.token_ids
    if len(ids) > LONGEST:
        raise DataError(f"the chain has {len(ids):,} tokens; attention is read of up to {LONGEST:,}")
    progress.phase(f"loading {model}", 0)
    inside = Inside.open(model)
    progress.phase("reading", 3 + len(config.probes) + (len(spans) if config.suppression else 0), "readings")
    found: dict[str, Any] = {"format": READING, "model": model, "chain": chain.id, "spans": spans}
    found |= _lens(inside, tokens, spans)
    progress.advance(1, len(ids))
    found |= _attention(inside, tokens, spans)
    progress.advance(1, len(ids))
    found["probes"] = [_probe(inside, tokens, spans, path, progress) for path in config.probes]
    if config.suppression:
        found["suppression"] = _suppression(inside, tokens, spans, progress)
    file = reading_file(config.run, chain.id)
    file.parent.mkdir(exist_ok=True)
    write_json(file, found)
    progress.advance(1, 0)
    return {"sampled_now": 0, "file": str(file)}


def _lens(inside: Any, tokens: Prefix, spans: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """By layer and step: KL(model ‖ layer), nats, and share of tokens whose likeliest next is the model's."""
    from cotlab.whitebox.lens import read_lens

    reading = read_lens(inside, tokens)
    agrees = (reading.top == reading.top[-1]).float()
    return {
        "lens_kl": [[float(row[a:b].mean()) for a, b in spans] for row in reading.kl],
        "lens_agrees": [[float(row[a:b].mean()) for a, b in spans] for row in agrees],
    }


def _attention(inside: Any, tokens: Prefix, spans: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Attention between steps, mean over heads and by receiver head; kurtosis of each head where steps suffice."""
    from cotlab.whitebox.attention import MIN_DISTANCE, receiver_heads, step_attention

    found = step_attention(inside, tokens, spans)
    told: dict[str, Any] = {"attention": found.mean(axis=(0, 1)).tolist(), "heads": [], "min_distance": MIN_DISTANCE}
    if len(spans) < MIN_DISTANCE + 4:
        return {**told, "heads_reason": f"{len(spans)} steps, at least {MIN_DISTANCE + 4} are needed"}
    receivers = receiver_heads([found])
    told["kurtosis"] = receivers.kurtosis.tolist()
    told["heads"] = [
        {"layer": layer, "head": head, "kurtosis": float(receivers.kurtosis[layer, head])}
        | {"attention": found[layer, head].tolist()}
        for layer, head in receivers.top(RECEIVERS)
    ]
    return told


def _probe(
    inside: Any, tokens: Prefix, spans: Sequence[tuple[int, int]], path: Path, progress: Progress
) -> dict[str, Any]:
    """What a saved probe says at the last token of each step: probability of its label."""
    from cotlab.interventions.hook_points import HookPoint
    from cotlab.whitebox.probe import Probe

    probe = Probe.load(path)
    point = HookPoint.parse(probe.card.hook)
    said = probe.probabilities(inside.read(tokens, [point])[point].float().cpu().numpy()[[end - 1 for _, end in spans]])
    progress.advance(1, len(tokens.token_ids))
    return {"file": path.name, "label": probe.card.label, "hook": probe.card.hook, "probability": said.tolist()}


def _suppression(
    inside: Any, tokens: Prefix, spans: Sequence[tuple[int, int]], progress: Progress
) -> list[list[float | None]]:
    import numpy as np

    from cotlab.whitebox.attention import suppression_matrix

    n = len(tokens.token_ids)
    losses = suppression_matrix(inside, tokens, spans, progress=lambda done, total: progress.advance(1, n))
    return [[None if np.isnan(one) else float(one) for one in row] for row in losses]
