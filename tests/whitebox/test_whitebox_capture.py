"""Captured activations are those of the engine, survive an interruption, and are not read twice."""

import numpy as np
import pytest

from cotlab.engines import open_engine
from cotlab.engines.base import Passage
from cotlab.errors import UserError
from cotlab.interventions import HookPoint
from cotlab.runs import Run, verify_run
from cotlab.sampling import StudyConfig, run_study
from cotlab.whitebox import CapturePlan, capture_run, read_capture

HOOKS = ("resid_post:2", "mlp_out:0")


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    path = tmp_path_factory.mktemp("capture") / "run"
    asked = {"problems": "countdown", "n_problems": 1, "n": 3, "engine": "transformers", "positions": "0,2"}
    run_study(StudyConfig.of(**asked, run=path, max_tokens=80))
    return path


@pytest.fixture(scope="module")
def engine():
    with open_engine("tiny", "transformers").engine as engine:
        yield engine


class Stopping:
    """Lets so many rollouts be read and then ends the program."""

    def __init__(self, after):
        self.left = after

    def phase(self, name, total):
        pass

    def say(self, line):
        pass

    def advance(self, rollouts, tokens):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_an_interrupted_capture_goes_on_and_holds_what_the_engine_reads(sampled, engine, monkeypatch):
    monkeypatch.setattr("cotlab.whitebox.capture.SHARD_BYTES", 1)  # a shard each
    plan = CapturePlan(HOOKS, at="step-ends", dtype="f32")
    with Run.open(sampled, writable=True) as run:
        size = capture_run(run, engine, plan, dry=True)
        with pytest.raises(KeyboardInterrupt):
            capture_run(run, engine, plan, progress=Stopping(2))
        left = capture_run(run, engine, plan)
        assert left.rollouts == size.rollouts - 2
        assert capture_run(run, engine, plan).rollouts == 0
        on_disk = sum(2 * 256 * 4 * len(rows) for _, rows in read_capture(run, size.capture_id, HOOKS[0]))
        assert on_disk == size.n_bytes
        seen = 0
        for row, rows in read_capture(run, size.capture_id, HOOKS[0]):
            rollout = run.rollout(row.rollout_id)
            prefix = run.prefix(rollout.prefix_id)
            (read,) = engine.read([Passage(prefix, rollout.token_ids)], [HookPoint.parse(HOOKS[0])])
            places = [prefix.n_prompt + place for place in row.places]
            assert rows == pytest.approx(read[HookPoint.parse(HOOKS[0])][places], abs=1e-4)
            seen += 1
        assert seen == size.rollouts
    assert verify_run(sampled) == []
    assert not list(sampled.rglob("*.tmp"))


def test_means_over_steps_in_bf16(sampled, engine):
    with Run.open(sampled, writable=True) as run:
        every = capture_run(run, engine, CapturePlan(HOOKS[:1], at="all", dtype="f32")).capture_id
        means = capture_run(run, engine, CapturePlan(HOOKS[:1], at="step-means")).capture_id
        tokens = {row.rollout_id: (row.places, rows) for row, rows in read_capture(run, every, HOOKS[0])}
        for row, rows in read_capture(run, means, HOOKS[0]):
            places, values = tokens[row.rollout_id]
            start = 0
            for end, mean in zip(row.places, rows, strict=True):
                stop = places.index(end) + 1
                wanted = values[start:stop].mean(0)
                assert np.abs(mean - wanted).max() <= 2**-7 * np.abs(wanted).max()
                start = stop
            assert start == len(places)


def test_a_lost_file_is_told(sampled, engine, tmp_path):
    import shutil

    shutil.copytree(sampled, tmp_path / "run")
    with Run.open(tmp_path / "run", writable=True) as run:
        capture_run(run, engine, CapturePlan(("z:0",)))
    next((tmp_path / "run" / "acts" / "z.0").iterdir()).unlink()
    assert [line for line in verify_run(tmp_path / "run") if "activations are lost" in line]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"hooks": ()}, "no hook point is asked for"),
        ({"hooks": HOOKS, "at": "ends"}, "at 'ends' not understood"),
        ({"hooks": HOOKS, "dtype": "f8"}, "dtype 'f8' not understood"),
        ({"hooks": ("pattern:0",)}, "patterns are not captured"),
    ],
)
def test_plans_are_checked(asked, told):
    with pytest.raises(UserError, match=told):
        CapturePlan(**asked)
