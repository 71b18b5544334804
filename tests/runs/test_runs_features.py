"""A run holds what its interventions on features need."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cotlab.interventions import (
    FeatureChange,
    FeatureSteering,
    HookPoint,
    Reconstruction,
    SAECard,
    SparseAutoencoder,
    Where,
)
from cotlab.runs import Run, verify_run


def made(activation: str, k: int | None) -> SparseAutoencoder:
    torch.manual_seed(0)
    card = SAECard(HookPoint("resid_post", 1), activation, k=k, scale=0.5)  # type: ignore[arg-type]
    parts = (torch.randn(12, 40), torch.randn(40) * 0.1, torch.randn(40, 12), torch.randn(12))
    return SparseAutoencoder(card, *parts, threshold=torch.rand(40) if activation == "jumprelu" else None)


CHANGES = [FeatureChange(7, "clamp", 3.0, "raw"), FeatureChange(2, "scale", 0.5), FeatureChange(30, "ablate")]


@pytest.mark.parametrize("activation", ["jumprelu", "topk"])
def test_a_run_keeps_what_an_intervention_needs(filled: Path, activation: str) -> None:
    sae = made(activation, 4 if activation == "topk" else None)
    of_features = FeatureSteering.of(sae, CHANGES, Where("response", after=3))
    its = [of_features, Reconstruction(sae, Where("new"))]
    with Run.open(filled, writable=True) as run:
        base, study = next(run.rollouts()), run.studies()[0].id
        for one in its:
            run.add_intervention(one)
            run.add_rollouts([replace(base, intervention_id=one.id, steered_tokens=9)], study_id=study)
    with Run.open(filled) as run:
        for one in its:
            found = run.intervention(one.id)
            assert found == one and type(found) is type(one) and hash(found) == hash(one)
    assert verify_run(filled) == []
    file = filled / "saes" / of_features.rows.file
    assert (file.stat().st_size < 4_000) == (activation != "topk"), "rows alone, where they suffice"
