"""Probes for one label over a run: every hook point judged, beside the same architecture with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotlab.chains.cutting import get_cutter
from cotlab.interventions.hook_points import HookPoint
from cotlab.runs import Run
from cotlab.sampling.progress import Progress, Silent
from cotlab.whitebox.inside import Inside
from cotlab.whitebox.probe import Probe, ProbeCard
from cotlab.whitebox.probe_fit import Method, fit_probe
from cotlab.whitebox.probe_report import ProbeReport, evaluate_probe
from cotlab.whitebox.run_examples import labelled_rollouts, read_examples

__all__ = ["ProbeStudy", "probe_run", "with_random_weights"]


@dataclass(frozen=True, slots=True)
class ProbeStudy:
    """What probes for one label say, by hook point."""

    model: str
    label: str
    n_rollouts: int
    reports: tuple[ProbeReport, ...]
    random_weights: tuple[ProbeReport, ...]
    """The same on random weights; empty where they were not asked for."""
    probes: tuple[Probe, ...]
    """Fitted on all examples, one for each report."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, without the probes."""
        return {
            "model": self.model,
            "label": self.label,
            "rollouts": self.n_rollouts,
            "rows": [report.to_json() for report in self.reports],
            "random_weights": [report.to_json() for report in self.random_weights],
        }

    def save(self, folder: Path) -> list[Path]:
        """Write each probe to a file of its own; their paths."""
        label = self.label.replace(":", "-")
        paths = [folder / f"{label}.{probe.card.hook.replace(':', '-')}.safetensors" for probe in self.probes]
        for probe, path in zip(self.probes, paths, strict=True):
            probe.save(path)
        return paths


def probe_run(
    run: Run,
    inside: Inside,
    label: str,
    *,
    points: Sequence[HookPoint] = (),
    method: Method = "logistic",
    n: int = 300,
    n_shuffles: int = 20,
    random_weights: bool = False,
    cutter: str = "sentences",
    scorer_id: str = "answers/1",
    seed: int = 0,
    progress: Progress | None = None,
) -> ProbeStudy:
    """Judge probes for a label at the ends of the steps that a run sampled.

    Args:
        run: Where the rollouts are.
        inside: The model whose activations are read.
        label: A key of `LABELS`.
        points: Hook points; the residual stream behind every layer by default.
        method: How probes are fitted.
        n: Rollouts that are read, of all problems.
        n_shuffles: Probes fitted to shuffled labels, for the null.
        random_weights: Also judge probes on the same architecture with random weights.
        cutter: What a step is.
        scorer_id: Whose verdict the label `correct` is.
        seed: Of the choice of rollouts, folds and shuffles.
        progress: Told how far it is.

    Raises:
        UserError: The label is unknown.
        DataError: Nothing carries the label, or too few problems do.
        ModelError: The model does not have such a point.
    """
    points = list(points) or [HookPoint("resid_post", layer) for layer in range(inside.shape.n_layers)]
    for point in points:
        point.check(inside.shape)
    found = labelled_rollouts(
        run,
        label,
        tokenizer=inside.tokenizer,
        cutter=get_cutter(cutter),
        scorer_id=scorer_id,
        n=n,
        seed=seed,
    )
    teller = progress or Silent()

    def judged(model: Inside, name: str, fit: bool) -> tuple[tuple[ProbeReport, ...], tuple[Probe, ...]]:
        teller.phase(f"reading {name}activations", len(found))
        examples = read_examples(model, found, points, label, progress=lambda done, total: teller.advance(1, 0))
        teller.phase(f"judging {name}probes", len(points), "hook points")
        reports, probes = [], []
        card = ProbeCard("", "", "", model=inside.name, revision=inside.revision, at="step-ends")
        for point in points:
            reports.append(evaluate_probe(examples[point], method, n_shuffles=n_shuffles, seed=seed))
            if fit:
                probes.append(fit_probe(examples[point], method, seed=seed, card=card))
            teller.advance(1, 0)
        return tuple(reports), tuple(probes)

    reports, probes = judged(inside, "", True)
    control = judged(with_random_weights(inside, seed), "random weights' ", False)[0] if random_weights else ()
    return ProbeStudy(inside.name, label, len(found), reports, control, probes)


def with_random_weights(inside: Inside, seed: int = 0) -> Inside:
    """The same architecture with fresh weights: what tokens and places alone give a probe."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        fresh = type(inside.model)(inside.model.config)
    fresh = fresh.to(device=inside.model.device, dtype=inside.model.dtype)
    return Inside.of(fresh, inside.tokenizer, name=f"{inside.name} (random weights)")
