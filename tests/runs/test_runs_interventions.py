"""A run is whole by itself: interventions with their vectors, and how many tokens they were applied at."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cotlab.errors import UserError
from cotlab.interventions import HookPoint, Steering, SteeringVector, VectorCard
from cotlab.runs import Run, merge_runs, verify_run


@pytest.fixture
def steering() -> Steering:
    directions = np.random.default_rng(0).standard_normal((1, 8)).astype(np.float32)
    return Steering.of(SteeringVector((HookPoint("resid_post", 1),), directions, VectorCard(mean_norms=(2.0,))), 0.5)


@pytest.fixture
def steered(filled: Path, steering: Steering) -> Path:
    with Run.open(filled, writable=True) as run:
        run.add_intervention(steering)
        base = next(run.rollouts())
        study = run.studies()[0].id
        run.add_rollouts([replace(base, intervention_id=steering.id, steered_tokens=17)], study_id=study)
    return filled


def test_an_intervention_comes_back_with_its_vector(steered: Path, steering: Steering) -> None:
    with Run.open(steered) as run:
        assert run.intervention(steering.id) == steering
        (found,) = run.rollouts(intervention_id=steering.id)
        frame = run.frame("rollouts").set_index("id")
    assert found.steered_tokens == 17
    assert frame.loc[found.id, "steered_tokens"] == 17
    assert frame["steered_tokens"].isna().sum() == len(frame) - 1
    assert verify_run(steered) == []


def test_merged_runs_take_vectors_and_counts_along(steered: Path, steering: Steering, tmp_path: Path) -> None:
    merge_runs([steered], tmp_path / "merged")
    with Run.open(tmp_path / "merged") as run:
        assert run.intervention(steering.id) == steering
        assert [r.steered_tokens for r in run.rollouts(intervention_id=steering.id)] == [17]
    assert verify_run(tmp_path / "merged") == []


def test_a_lost_vector_is_told(steered: Path, steering: Steering) -> None:
    (steered / "vectors" / f"{steering.vector.id}.safetensors").unlink()
    with Run.open(steered) as run, pytest.raises(UserError, match="there is no vector"):
        run.intervention(steering.id)
    assert [line for line in verify_run(steered) if "there is no vector" in line]
