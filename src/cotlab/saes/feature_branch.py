"""Branches: set features from a step of a chain on, beside the controls of an intervention on features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotlab.engines.base import Passage
from cotlab.errors import UserError
from cotlab.interventions import FeatureChange, FeatureSteering, Where
from cotlab.interventions.base import Intervention
from cotlab.runs import Run
from cotlab.saes.feature_controls import RANDOM, ChangeSize, FeatureControls, measure_changes
from cotlab.saes.feature_rank import Rank
from cotlab.sampling import Budget, Progress, find_chains
from cotlab.whitebox.branching import BranchResult, draw_arms
from cotlab.whitebox.stage import open_steerable

if TYPE_CHECKING:
    from cotlab.chains.rollout import Rollout
    from cotlab.interventions import SparseAutoencoder
    from cotlab.saes.stored import StoredAutoencoder

__all__ = ["FeatureBranch", "branch_features"]

MOST_READ = 50
"""Baseline rollouts that the size of the change is measured on."""


@dataclass(frozen=True, slots=True)
class FeatureBranch:
    """What setting features did from a step on."""

    result: BranchResult
    """The first arm is the intervention, the others its controls."""
    changes: tuple[FeatureChange, ...]
    hook: str
    sae: str
    size: ChangeSize
    random_sizes: tuple[float, ...]
    """Of each random feature: mean norm of its change over mean norm of the activations."""

    @property
    def ranks(self) -> dict[str, Rank]:
        """Where its effects stand among those of random features: `value` (share of right answers), `answers` moved."""
        its, *others = self.result.arms
        random = [arm for arm in others if arm.name.startswith(RANDOM)]
        found = {
            "value": Rank.of(its.shift.value, [arm.shift.value for arm in random]),
            "answers": Rank.of(its.answers.value, [arm.answers.value for arm in random]),
        }
        return {name: rank for name, rank in found.items() if rank is not None}

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        told = {"changes": [change.to_json() for change in self.changes], "hook": self.hook, "sae": self.sae}
        ranks = {name: rank.to_json() for name, rank in self.ranks.items()}
        sizes = {"size": asdict(self.size), "random_sizes": list(self.random_sizes)}
        return {**told, **sizes, "ranks": ranks, **self.result.to_json()}


def branch_features(
    path: Path,
    sae: SparseAutoencoder | StoredAutoencoder,
    changes: Sequence[FeatureChange],
    *,
    step: int,
    chain: str | None = None,
    where: Where | None = None,
    n: int = 50,
    n_random: int = 5,
    reconstruction: bool = True,
    model: str | None = None,
    engine: str = "auto",
    engine_options: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
    progress: Progress | None = None,
) -> FeatureBranch:
    """Branch a chain of a run with features set, with the run's model, settings and seed.

    Args:
        path: Run folder.
        sae: Of the run's model, or said to be transferred to it; of one on disk (`open_sae`) only blocks are read, and
            the rows of the features that are changed, as far as no arm needs all of it.
        changes: What is done to which features.
        step: Steps of the chain that are kept.
        chain: Id of a chain, or its start; default: the first.
        where: Which tokens; default: from the last kept one on.
        n: Rollouts of each arm.
        n_random: Random features beside it; random directions too, two at most.
        reconstruction: Whether that is among the controls: it needs all of the autoencoder in memory, and in the run.
        model: Where the run's model is, if it is a folder.
        engine: auto, vllm or transformers.
        engine_options: Of the engine.
        budget: Cap.
        progress: Told how it goes.

    Raises:
        UserError: There is no such chain, or something else cannot be; one line.
        EngineError: The engine broke; what it gave is stored.
    """
    its = FeatureSteering.of(sae, changes, where or Where("new"))
    with Run.open(path) as run:
        found = find_chains(run, chain)[0]
        if not 0 <= step <= len(found.steps):
            raise UserError(f"step {step} lies beyond the chain, which has {len(found.steps)} steps")
        seeds = [study.seed for study in run.studies() if study.spec.get("kind") == "resample"]
        ids = {row.settings_id for row in run.rollouts(prefix_id=found.prefix(step).id, bodies=False)}
        known = [one for key, one in run.settings().items() if key in ids and one.temperature > 0]
        name, seed = model or run.identity.model, seeds[0] if seeds else 0
    opened = open_steerable(name, engine, engine_options)
    measured, drawn = list[FeatureControls](), list[FeatureSteering]()

    with opened.engine as sampled, Run.open_or_create(path, opened.identity) as run:
        prefix = found.prefix(step)

        def arms(base: list[Rollout]) -> list[tuple[str, Intervention]]:
            passages = [Passage(prefix, rollout.token_ids or ()) for rollout in base[:MOST_READ]]
            controls = measure_changes(sampled, sae, its.where, passages)
            measured.append(controls)
            others = controls.arms(its, n_random=n_random, seed=seed, reconstruction=reconstruction)
            drawn.extend(one for _, one in others if isinstance(one, FeatureSteering))
            return [("features", its), *others]

        its.check(sampled.shape, sampled.card.model, sampled.card.revision)
        result = draw_arms(
            run, sampled, found, step, arms, known[0] if known else opened.card.sampling, n=n, seed=seed,
            spec={"kind": "feature-branch", "chain": found.id, "step": step, "intervention": its.to_json()},
            budget=budget, progress=progress,
        )  # fmt: skip
    (controls,) = measured
    random_sizes = tuple(controls.size(one).relative for one in drawn)
    return FeatureBranch(result, its.changes, str(sae.point), sae.card.label, controls.size(its), random_sizes)
