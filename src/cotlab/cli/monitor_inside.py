"""What `cotlab monitor` reads from inside: probes, features of autoencoders, the logit lens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cotlab.interventions import SparseAutoencoder
    from cotlab.measures import Monitor, Shown, Task
    from cotlab.runs import Run
    from cotlab.saes import FeatureMonitor

__all__ = ["AskedInside", "ReadersInside", "lines"]

TOLD = 8
"""Chosen features that a line names."""


@dataclass(frozen=True, slots=True)
class AskedInside:
    """What was asked for."""

    hooks: Sequence[str] = ()
    """Of probes."""
    saes: Sequence[str] = ()
    transfer: bool = False
    """Whether autoencoders may be of another model."""
    layers: Sequence[int] = ()
    """Of the lens."""
    model: str | None = None
    """None: the run's."""

    def open(self, run: Run, rows: Sequence[Shown], task: Task, counts: Sequence[int]) -> ReadersInside:
        """Monitors of these responses; the model is loaded where one is asked for.

        Raises:
            UserError: There is no such model, hook point, layer or autoencoder, or one does not fit; one line.
        """
        found = ReadersInside()
        if not (self.hooks or self.saes or self.layers):
            return found
        from cotlab.interventions.hook_points import HookPoint
        from cotlab.saes import FeatureMonitor
        from cotlab.whitebox import ActivationMonitor, AnswerLens, EndReader, Inside, LensMonitor

        name = self.model or run.identity.model
        saes = [self._sae(one, name) for one in self.saes]
        inside, points = Inside.open(name), [HookPoint.parse(hook) for hook in self.hooks]
        reader = EndReader(run, inside, [*points, *(sae.point for sae in saes)], counts=counts)
        found.monitors |= {f"probe {point}": ActivationMonitor(reader, point) for point in points}
        found.features = {f"features {sae.card.name or sae.id[:8]}": FeatureMonitor(reader, sae) for sae in saes}
        found.monitors |= found.features
        if self.layers:
            lens = AnswerLens(run, inside, task, layers=self.layers)
            if (why := lens.lacking(rows)) is None:
                found.monitors |= {f"lens {layer}": LensMonitor(lens, layer) for layer in lens.layers}
            else:
                found.missing["lens"] = why
        return found

    def _sae(self, name: str, model: str) -> SparseAutoencoder:
        from cotlab.saes import fit_sae, open_sae

        return fit_sae(open_sae(name), model, transfer=self.transfer).load()


@dataclass(slots=True)
class ReadersInside:
    """Monitors, and what there is to say of them."""

    monitors: dict[str, Monitor] = field(default_factory=dict)
    features: dict[str, FeatureMonitor] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Why a reader is not among the monitors."""

    def told(self, rows: Sequence[Shown], seed: int) -> dict[str, Any]:
        """What features each autoencoder's monitor stands on, and what the autoencoder is worth on this model."""
        from dataclasses import asdict

        from cotlab.saes import sae_here

        found: dict[str, Any] = {}
        for name, one in self.features.items():
            chosen = [asdict(feature) for feature in one.chosen(rows, seed=seed)]
            found[name] = {**sae_here(one.reader, one.sae, rows).to_json(), "k": one.k, "chosen": chosen}
        return found


def lines(told: dict[str, Any], missing: dict[str, str]) -> list[str]:
    """The same for people."""
    found = []
    for name, one in told.items():
        of = f"transferred from {one['transferred_from']}" if one["transferred_from"] else "of this model"
        chosen = ", ".join(
            f"{feature['feature']} ({feature['difference']:+.2f} sd, {feature['folds']} of {feature['of']} folds)"
            for feature in one["chosen"][:TOLD]
        )
        here = f"L0 {_value(one['l0'])}, explained variance {_value(one['explained_variance'])}"
        found.append(f"{name}: {of}; here {here}; {one['k']} features a fold: {chosen or 'none differ'}")
    return found + [f"{name} is missing: {why}" for name, why in missing.items()]


def _value(estimate: dict[str, Any]) -> str:
    if estimate["value"] is None:
        return f"not known ({estimate['reason']})"
    digits = 1 if abs(estimate["value"]) >= 10 else 2
    return " ".join(
        [f"{estimate['value']:.{digits}f}", f"[{estimate['low']:.{digits}f}, {estimate['high']:.{digits}f}]"]
    )
