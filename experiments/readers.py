"""Readers from inside: a probe, features of an autoencoder, the logit lens, all at the end of what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cotlab as ct
from cotlab.errors import ModelError
from cotlab.interventions.hook_points import HookPoint
from cotlab.measures import Monitor, Shown, Task
from cotlab.reports import Finding, Table
from cotlab.saes import FeatureMonitor, SAEHere, fit_sae, open_sae, sae_here
from cotlab.saes.feature_monitor import ChosenFeature
from cotlab.whitebox import ActivationMonitor, AnswerLens, EndReader, Inside, LensMonitor
from experiments.lab import Lab

__all__ = ["ReadersInside", "features_table", "open_readers", "sae_findings"]


@dataclass(slots=True)
class ReadersInside:
    """Of one model."""

    run: ct.Run
    reader: EndReader
    probes: dict[str, Monitor]
    features: dict[str, FeatureMonitor]
    layers: tuple[int, ...]
    missing: dict[str, str] = field(default_factory=dict)
    """Why an autoencoder is not there."""
    no_lens: dict[Task, str] = field(default_factory=dict)
    """Why the lens is not, by task."""

    def lacking(self, task: Task) -> dict[str, str]:
        """Why a reader is not among the monitors of a task, once these were asked for."""
        return {**self.missing, **({"lens": self.no_lens[task]} if task in self.no_lens else {})}

    @property
    def learning(self) -> dict[str, Monitor]:
        """Those that learn."""
        return {**self.probes, **self.features}

    def monitors(self, task: Task, rows: Sequence[Shown]) -> dict[str, Monitor]:
        """All that can read these responses."""
        lens = AnswerLens(self.run, self.reader.inside, task, layers=self.layers)
        if (why := lens.lacking(rows)) is not None:
            self.no_lens[task] = why
            return self.learning
        return {**self.learning, **{f"lens {layer}": LensMonitor(lens, layer) for layer in self.layers}}

    def worth(self, rows: Sequence[Shown]) -> list[SAEHere]:
        """What each autoencoder is worth on this model."""
        return [sae_here(self.reader, one.sae, rows) for one in self.features.values()]

    def chosen(self, rows: Sequence[Shown], seed: int) -> dict[str, list[ChosenFeature]]:
        """Features that each autoencoder's monitor stands on."""
        return {name: one.chosen(rows, seed=seed) for name, one in self.features.items()}


def open_readers(run: ct.Run, lab: Lab, model: str, counts: Sequence[int]) -> ReadersInside:
    """Of the model of a run; an autoencoder that does not fit it is missing, and says why."""
    inside, missing, saes = Inside.open(model), dict[str, str](), []
    hooks = [HookPoint.parse(hook) for hook in lab.text("hooks").split(",")]
    for name in filter(None, lab.text("saes").split(",")):
        try:
            saes.append(fit_sae(open_sae(name), model, transfer=True).load())
        except ModelError as error:
            missing[name] = str(error)
    reader = EndReader(run, inside, [*hooks, *(sae.point for sae in saes)], counts=counts)
    layers = tuple(int(layer) for layer in lab.text("lens").split(","))
    return ReadersInside(
        run,
        reader,
        {f"probe {hook}": ActivationMonitor(reader, hook) for hook in hooks},
        {f"features of {sae.card.name or sae.id[:8]}": FeatureMonitor(reader, sae) for sae in saes},
        layers,
        missing,
    )


def sae_findings(worth: Sequence[SAEHere], group: str) -> list[Finding]:
    """L0 and explained variance of each autoencoder on the model."""
    found = []
    for one in worth:
        of = f", transferred from {one.transferred_from}" if one.transferred_from else ", of this model"
        found += [
            Finding.of(f"{what} of {one.name}{of}", estimate, group=group)
            for what, estimate in (("L0", one.l0), ("explained variance", one.explained_variance))
        ]
    return found


def features_table(chosen: Sequence[tuple[str, dict[str, list[ChosenFeature]]]]) -> Table:
    """Which features were chosen, of responses of which model and task; those of at least half of the folds."""
    rows = [
        (group, name, one.feature, round(one.difference, 2), f"{one.folds} of {one.of}")
        for group, by_sae in chosen
        for name, features in by_sae.items()
        for one in features
        if 2 * one.folds >= one.of
    ]
    return Table(
        title="Features that tell used hints: chosen on the training folds, in at least half of them",
        columns=("responses", "monitor", "feature", "difference of means, standard deviations", "folds"),
        rows=tuple(rows),
    )
