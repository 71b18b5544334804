"""A probe applied live along one chain: what it says after every token, and at the ends of the steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.chain import Chain
from cotlab.errors import DataError, ModelError
from cotlab.interventions.hook_points import HookPoint
from cotlab.whitebox.inside import Inside
from cotlab.whitebox.probe import Probe

__all__ = ["ProbeCurve", "probe_curve"]


@dataclass(frozen=True, slots=True, eq=False)
class ProbeCurve:
    """What one probe says along one chain."""

    label: str
    hook: str
    chain_id: str
    tokens: NDArray[np.float64]
    """[tokens of the response] P(label) after each token."""
    ends: tuple[int, ...]
    """Last token of each step, counted from the start of the response."""
    texts: tuple[str, ...]
    """What each step says."""
    seen: bool
    """Whether the probe may have been fitted on this chain's problem: the curve flatters it then."""

    @property
    def steps(self) -> NDArray[np.float64]:
        """[steps] P(label) at the end of each step, which is where probes are fitted."""
        return self.tokens[list(self.ends)]

    def to_json(self) -> dict[str, Any]:
        """The document of `cotlab probe curve --json`, of one probe."""
        said = zip(self.ends, self.steps, self.texts, strict=True)
        return {
            "label": self.label,
            "hook": self.hook,
            "chain": self.chain_id,
            "seen": self.seen,
            "tokens": [round(float(p), 6) for p in self.tokens],
            "steps": [{"end": end, "p": round(float(p), 6), "text": text} for end, p, text in said],
        }


def probe_curve(inside: Inside, probes: Sequence[Probe], chain: Chain) -> tuple[ProbeCurve, ...]:
    """Apply probes after every token of a chain's response, in one reading.

    A causal model's activation at a token does not depend on what follows, so that the curve is what the probe would
    have said live, token by token.

    Args:
        inside: The model that the probes are of.
        probes: Any number, at any hook points.
        chain: Whose response.

    Returns:
        A curve for each probe, in their order.

    Raises:
        DataError: A probe's card does not say where it reads, or its width is another one.
        ModelError: A probe is of another model.
    """
    for probe in probes:
        _check(probe, inside)
    points = [HookPoint.parse(probe.card.hook) for probe in probes]
    read = inside.read(chain.whole, dict.fromkeys(points))
    first = len(chain.prompt_ids)
    return tuple(
        ProbeCurve(
            probe.card.label,
            probe.card.hook,
            chain.id,
            probe.probabilities(read[point][first:].float().cpu().numpy()),
            tuple(step.end - 1 for step in chain.steps),
            tuple(step.text for step in chain.steps),
            not probe.card.problems or chain.problem_id in probe.card.problems,
        )
        for probe, point in zip(probes, points, strict=True)
    )


def _check(probe: Probe, inside: Inside) -> None:
    card = probe.card
    if not card.hook:
        raise DataError(f"the probe for {card.label!r} does not say at which hook point it reads; fit it again")
    if card.revision and card.revision != inside.revision:
        raise ModelError(
            f"the probe for {card.label!r} is of {card.model} at revision {card.revision}, and this is {inside.name} "
            f"at {inside.revision}: fit it on this model"
        )
