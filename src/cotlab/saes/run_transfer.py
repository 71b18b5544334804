"""A transfer test from what a user names: autoencoders, models, runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from cotlab.errors import DataError, UserError
from cotlab.interventions import SparseAutoencoder
from cotlab.saes.source import TraceSource, open_reader, think_tags
from cotlab.saes.traces import Trace, split_traces
from cotlab.saes.transfer import Transfer, same_tokens, transfer_test
from cotlab.saes.verdict import THRESHOLD
from cotlab.sampling.progress import Progress

__all__ = ["own_model", "transfer_study"]

EVALUATED = 2 / 3
"""Share of the problems; the rest makes the controls."""
EVERY = 1 << 31


def own_model(sae: SparseAutoencoder, given: str | None = None) -> str:
    """The model that an autoencoder is of, as a name that `--model` takes.

    Raises:
        UserError: It does not say.
    """
    name = given or sae.card.transferred_from or sae.card.model
    if not name:
        raise UserError(f"SAE {sae.card.label} does not say which model it is of: name it with --own-model")
    return name


def transfer_study(
    saes: Sequence[SparseAutoencoder],
    model: str,
    source: TraceSource,
    *,
    own: str | None = None,
    tuned: Sequence[SparseAutoencoder] = (),
    trained: Collection[str] = (),
    threshold: float = THRESHOLD,
    device: str = "cpu",
    dtype: str = "float32",
    seed: int = 0,
    progress: Progress | None = None,
) -> Transfer:
    """Try autoencoders on another model, on the rollouts of runs.

    Args:
        saes: One a hook point, all of one model.
        model: The one that they are tried on: name or folder.
        source: What both models read; two thirds of the problems are evaluated, the rest makes the controls.
        own: The model that they are of; default: as they say.
        tuned: The same fine-tuned on the model.
        trained: Ids of the problems that they were fine-tuned on (`trained_problems`): none of them is evaluated, and
            all rollouts of the source are looked through for others.
        threshold: Share of the own model's score.
        device: Of models and autoencoders.
        dtype: Of the models.
        seed: Of split, draws and random features.
        progress: Told how far it is.

    Raises:
        UserError: Something cannot be; one line.
        DataError: Every rollout is of a problem that an autoencoder was fine-tuned on.
    """
    its = own_model(saes[0], own)
    other = open_reader(model, device=device, dtype=dtype)
    traces = (replace(source, n=EVERY) if trained else source).read(other, think_tags(model))
    if progress is not None:
        for line in source.lines(traces, other.name):
            progress.say(line)
    base = open_reader(its, device=device, dtype=dtype)
    same_tokens(base, other, traces)
    evaluated, fit = _unseen(traces, trained, source.n, seed) if trained else split_traces(traces, EVALUATED, seed)
    if progress is not None:
        problems = len({trace.problem for trace in evaluated})
        progress.say(
            f"{len(evaluated):,} rollouts of {problems:,} problems are evaluated, {len(fit):,} make the controls"
        )
    placed, fine = ([one.to(device) for one in them] for them in (saes, tuned))
    return transfer_test(
        placed, base, other, evaluated, fit, tuned=fine, threshold=threshold, seed=seed, progress=progress
    )


def _unseen(traces: list[Trace], trained: Collection[str], n: int, seed: int) -> tuple[list[Trace], list[Trace]]:
    """Rollouts of problems that nothing was trained on, and others for the controls."""
    seen = set(trained)
    fresh = [trace for trace in traces if trace.problem not in seen]
    if not fresh:
        raise DataError(
            f"the fine-tuned SAE was trained on the problems of all {len(traces)} rollouts: name other runs"
        )
    known = [trace for trace in traces if trace.problem in seen]
    wanted = EVALUATED * n
    if known:
        evaluated, _ = split_traces(fresh, min(1.0, wanted / len(fresh)), seed)
        return evaluated, known[: max(1, round(n - wanted))]
    evaluated, fit = split_traces(fresh, min(EVALUATED, wanted / len(fresh)), seed)
    return evaluated, fit[: max(1, round(n - wanted))]
