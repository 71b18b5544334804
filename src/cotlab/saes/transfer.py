"""The transfer test: an autoencoder of one model on another, on the same tokens at the same positions.

1. Controls (random features, PCA) are made on traces that are not evaluated, from the own model's activations. There
   the autoencoders are also brought to the L0 that they have on their own model (`cotlab.saes.l0_matching`), where they
   have another one here: what is active decides how much can be explained.
2. Every trace is read by both models; each reconstruction is spliced in (`cotlab.saes.splicing`), one at a time.
3. Scores by hook point, condition and part, with intervals over problems, the same draws for all
   (`cotlab.saes.scores`).
4. The verdict is a rule on intervals of ratios (`cotlab.saes.verdict`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotlab.errors import DataError, ModelError, UserError
from cotlab.interventions import SparseAutoencoder
from cotlab.interventions.hook_points import HookPoint
from cotlab.saes.activations import read_rows
from cotlab.saes.controls import Moments, pca_control, random_control
from cotlab.saes.l0_matching import at_l0
from cotlab.saes.redraws import Redraws
from cotlab.saes.scores import METRICS, WHERE, ArmSums, Metric, ModelSums, Where
from cotlab.saes.splicing import splice
from cotlab.saes.traces import PARTS, Trace, kept, special_ids
from cotlab.saes.verdict import THRESHOLD, Recovery, Verdict, decide, recovery
from cotlab.sampling.progress import Progress, Silent
from cotlab.stats import Estimate
from cotlab.whitebox.inside import Inside

__all__ = ["OUTLIER", "Condition", "Transfer", "TransferRow", "same_tokens", "transfer_test"]

Condition = Literal[
    "own", "transferred", "transferred, L0 matched", "fine-tuned", "fine-tuned, L0 matched", "random-init", "pca"
]
MATCHED = ", L0 matched"
MATCHED_ON = 1 << 14
"""Tokens at most that L0 is matched on."""
OUTLIER = 10.0
"""Medians of the norm above which a token is an outlier (the default filter of `dictionary_learning`'s buffers)."""


@dataclass(frozen=True, slots=True)
class TransferRow:
    """One autoencoder on one model, over one part of the chains."""

    condition: Condition
    hook: str
    part: Where
    tokens: int
    scores: dict[Metric, Estimate]
    dead_share: Estimate
    outlier_share: float
    """Of the tokens, those with a norm above `OUTLIER` medians; of the model, not of the autoencoder."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        scores: dict[str, Any] = {metric: estimate.to_json() for metric, estimate in self.scores.items()}
        place = {"condition": self.condition, "layer": HookPoint.parse(self.hook).layer, "hook": self.hook}
        told = {"part": self.part, "tokens": self.tokens, **scores, "dead_share": self.dead_share.to_json()}
        return {**place, **told, "outlier_share": self.outlier_share}


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a transfer test found."""

    own: str
    """The model that the autoencoders are of."""
    model: str
    """The model that they were tried on."""
    saes: tuple[str, ...]
    n_traces: int
    rows: tuple[TransferRow, ...]
    verdicts: tuple[Verdict, ...]
    """One a hook point."""
    rates: dict[str, dict[str, NDArray[np.float64]]]
    """Firing rates over all tokens by hook point and condition, shape (d_sae,)."""

    @property
    def verdict(self) -> str:
        """For people, one line a hook point."""
        return "\n".join(verdict.line for verdict in self.verdicts)

    def to_json(self) -> dict[str, Any]:
        """Plain data, without the rates."""
        return {
            "sae": self.saes[0] if len(self.saes) == 1 else list(self.saes),
            "model": self.model,
            "own_model": self.own,
            "traces": self.n_traces,
            "rows": [row.to_json() for row in self.rows],
            "verdict": self.verdict,
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
        }


def transfer_test(
    saes: Sequence[SparseAutoencoder],
    own: Inside,
    other: Inside,
    traces: Sequence[Trace],
    fit: Sequence[Trace],
    *,
    tuned: Sequence[SparseAutoencoder] = (),
    threshold: float = THRESHOLD,
    seed: int = 0,
    progress: Progress | None = None,
) -> Transfer:
    """Try autoencoders of one model on another.

    Args:
        saes: One a hook point.
        own: The model that they are of.
        other: The one that they are tried on; with the same tokens.
        traces: What both models read.
        fit: Other traces, for the controls.
        tuned: The same autoencoders fine-tuned on the other model, where they were; not on these traces' problems.
        threshold: On the share of the own model's score (`cotlab.saes.verdict`).
        seed: Of the draws and of random features.
        progress: Told how far it is.

    Raises:
        UserError: Two autoencoders have one hook point, or one said to be fine-tuned was not on the other model.
        ModelError: One does not fit a model.
        DataError: There are no traces, or those for the controls have none of the tokens that decide.
    """
    tell = progress or Silent()
    by_point = _by_point(saes)
    fine = {sae.point: sae for sae in tuned}
    for sae in saes:
        sae.for_model(own.name).check(own.shape, own.name)
        sae.for_model(other.name).check(other.shape, other.name)
    for sae in tuned:
        if sae.card.model != other.name:
            said = f"is of the model '{sae.card.model}'" if sae.card.model else "does not say which model it is of"
            raise UserError(f"SAE {sae.card.label} {said}: it was not fine-tuned on '{other.name}'")
        sae.check(other.shape, other.name)
    if fine.keys() - by_point.keys():
        raise UserError(f"a fine-tuned SAE is at {', '.join(map(str, fine.keys() - by_point.keys()))}, and no SAE is")
    if not traces or not fit:
        raise DataError(f"{len(traces)} traces to evaluate and {len(fit)} for the controls: sample more rollouts")
    special = special_ids(other.tokenizer) | special_ids(own.tokenizer) | _foreign(own, other, traces)
    part = deciding_part(traces, special)
    tell.phase("controls, L0", 2 * len(fit) * len(by_point), "traces")
    arms: dict[HookPoint, dict[str, SparseAutoencoder]] = {}
    for point, sae in by_point.items():
        moments = _moments(own, sae, fit, part, special, tell)
        tried = {"transferred": sae} | ({"fine-tuned": fine[point]} if point in fine else {})
        arms[point] = {**tried, **_at_own_l0(tried, other, fit, part, special, moments.l0, tell)}
        arms[point] |= {"random-init": random_control(sae, moments, seed), "pca": pca_control(sae, moments)}
    tell.phase("splicing", 2 * len(traces), "traces")
    own_sums, own_model = _measured(own, traces, {p: {"own": sae} for p, sae in by_point.items()}, special, tell)
    sums, model = _measured(other, traces, arms, special, tell)
    redraws = Redraws.of([trace.problem for trace in traces], seed=seed)
    rows, verdicts, rates = list[TransferRow](), list[Verdict](), {}
    for point in by_point:
        its = {**own_sums[point], **sums[point]}
        for condition in (name for name in get_args(Condition) if name in its):
            outliers = (own_model if condition == "own" else model)[point].outliers(OUTLIER)
            rows += [_row(condition, str(point), part, its[condition], outliers, redraws) for part in WHERE]
        verdicts.append(_verdict(str(point), its, part, threshold, redraws))
        rates[str(point)] = {name: arm.rates() for name, arm in its.items()}
    names = tuple(sae.card.name or str(sae.point) for sae in saes)
    return Transfer(own.name, other.name, names, len(traces), tuple(rows), tuple(verdicts), rates)


def same_tokens(own: Inside, other: Inside, traces: Sequence[Trace]) -> None:
    """Say so where a token of the traces does not mean the same to both models.

    Special tokens and those of a chat template may differ: a distill has its own. Those that do are in no measure, and
    keep their own activations.

    Raises:
        ModelError: Another token differs, or one model does not have it.
    """
    used = sorted(
        {token for trace in traces for token in trace.ids} - special_ids(own.tokenizer) - special_ids(other.tokenizer)
    )
    sizes = [inside.model.config.get_text_config(decoder=True).vocab_size for inside in (own, other)]
    if used and used[-1] >= min(sizes):
        raise ModelError(f"token {used[-1]} is not in both vocabularies ({sizes[0]} and {sizes[1]} tokens)")
    apart = [token for token, *pair in _named_apart(own, other, used) if not _control(*pair)]
    if apart:
        raise ModelError(
            f"'{own.name}' and '{other.name}' have different tokens ({len(apart)} of {len(used)}, such as {apart[0]}): "
            "an autoencoder is tried on the same tokens only"
        )


def _named_apart(own: Inside, other: Inside, tokens: Sequence[int]) -> list[tuple[int, object, object]]:
    """Tokens that have another name in either vocabulary, with both names."""
    names = []
    for inside in (own, other):
        hf = getattr(inside.tokenizer, "hf", None)
        names.append([hf.convert_ids_to_tokens(token) if hf else token for token in tokens])
    return [one for one in zip(tokens, *names, strict=True) if one[1] != one[2]]


def _foreign(own: Inside, other: Inside, traces: Sequence[Trace]) -> frozenset[int]:
    """Tokens of a chat template that one of the models does not have (`<think>` on a base model)."""
    used = sorted({token for trace in traces for token in trace.ids})
    return frozenset(token for token, *pair in _named_apart(own, other, used) if _control(*pair))


def _control(left: object, right: object) -> bool:
    """Whether a token is one of a chat template in either vocabulary (`<|reserved_special_token_3|>`, `<｜User｜>`)."""
    return any(str(name).startswith("<") and str(name).endswith(">") for name in (left, right))


def _by_point(saes: Sequence[SparseAutoencoder]) -> dict[HookPoint, SparseAutoencoder]:
    found = {sae.point: sae for sae in saes}
    if len(found) != len(saes) or not saes:
        raise UserError(f"{len(saes)} SAEs of {len(found)} hook points: name one for each hook point")
    return found


def _measured(
    inside: Inside,
    traces: Sequence[Trace],
    arms: dict[HookPoint, dict[str, SparseAutoencoder]],
    special: frozenset[int],
    tell: Progress,
) -> tuple[dict[HookPoint, dict[str, ArmSums]], dict[HookPoint, ModelSums]]:
    sums = {
        point: {name: ArmSums(sae.d_model, sae.d_sae) for name, sae in named.items()} for point, named in arms.items()
    }
    models = {point: ModelSums() for point in arms}
    for trace in traces:
        for point, spliced in splice(inside, trace, arms, special):
            models[point].add(spliced, trace.parts)
            for name, arm in sums[point].items():
                arm.add(name, spliced, trace.parts)
        tell.advance(1, len(trace.ids))
    return sums, models


def _row(
    condition: Condition, hook: str, part: Where, arm: ArmSums, outliers: dict[Where, float], redraws: Redraws
) -> TransferRow:
    scores = {metric: arm.estimate(metric, part, redraws) for metric in METRICS}
    return TransferRow(condition, hook, part, arm.tokens(part), scores, arm.dead_share(part), outliers[part])


def deciding_part(traces: Sequence[Trace], special: frozenset[int]) -> Where:
    """`think`, or `all` where no trace has a token of that part (nothing is then decided)."""
    think = PARTS.index("think")
    return "think" if any((trace.parts[kept(trace, special)] == think).any() for trace in traces) else "all"


def _decides(trace: Trace, part: Where, special: frozenset[int], device: torch.device) -> Tensor:
    """Which of the measured tokens of a trace are of the part, shape (tokens,)."""
    its = trace.parts[kept(trace, special)]
    mask = np.ones(len(its), dtype=bool) if part == "all" else its == PARTS.index(part)
    return torch.from_numpy(mask).to(device)


def _moments(
    own: Inside, sae: SparseAutoencoder, fit: Sequence[Trace], part: Where, special: frozenset[int], tell: Progress
) -> Moments:
    """What the controls are made from."""
    moments = Moments(sae.d_model, sae.W_dec.device)
    for trace, its_rows in read_rows(own, fit, sae.point, special):
        moments.add(its_rows, sae, _decides(trace, part, special, its_rows.device))
        tell.advance(1, len(trace.ids))
    if not moments.decide:
        raise DataError(
            f"none of the {len(fit)} rollouts for the controls has a token of the part '{part}', on which the verdict "
            "stands: sample more rollouts"
        )
    return moments


def _at_own_l0(
    tried: dict[str, SparseAutoencoder],
    other: Inside,
    fit: Sequence[Trace],
    part: Where,
    special: frozenset[int],
    l0: float,
    tell: Progress,
) -> dict[str, SparseAutoencoder]:
    """Autoencoders at the L0 of the own model, on traces that are not evaluated; those that have it are left out."""
    found, n = list[Tensor](), 0
    for trace, its_rows in read_rows(other, fit, tried["transferred"].point, special):
        found.append(its_rows[_decides(trace, part, special, its_rows.device)])
        n += len(found[-1])
        tell.advance(1, len(trace.ids))
        if n >= MATCHED_ON:
            break
    if not n or not l0:
        return {}
    rows = torch.cat(found)[:MATCHED_ON]
    matched = {name + MATCHED: (sae, at_l0(sae, rows, l0)) for name, sae in tried.items()}
    return {name: after for name, (before, after) in matched.items() if after is not before}


def _verdict(hook: str, its: dict[str, ArmSums], part: Where, threshold: float, redraws: Redraws) -> Verdict:
    held = (its["own"], its["random-init"], its["pca"])
    recoveries = dict[str, Recovery]()
    for name in (name for name in ("transferred", "fine-tuned") if name in its):
        as_it_is = its[name]
        recoveries[name] = recovery(its.get(name + MATCHED, as_it_is), as_it_is, *held, part, redraws)
    return decide(hook, part, threshold, recoveries)
