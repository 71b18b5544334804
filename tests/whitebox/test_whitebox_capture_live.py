"""Capture while vLLM samples: the same activations as afterwards, and an interruption is made good by `capture_run`."""

import numpy as np
import pytest

from cotlab.engines import engine_choice, open_engine
from cotlab.engines.base import Passage
from cotlab.runs import Run, verify_run
from cotlab.sampling import StudyConfig, run_study
from cotlab.whitebox import CapturePlan, capture_live, capture_run, read_capture

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(900),
    pytest.mark.skipif(engine_choice().name != "vllm", reason="vLLM is not installed"),
]
PLAN = CapturePlan(("resid_post:2", "mlp_out:0"), at="step-means", dtype="f32")
ASKED = {"problems": "countdown", "n_problems": 1, "n": 4, "engine": "vllm", "positions": "0,2", "max_tokens": 80}
OPTIONS = {"kv_gib": 0.25}


class Stopping:
    """Ends the program after so many rollouts."""

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


def test_what_is_captured_while_sampling_is_what_is_captured_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr("cotlab.whitebox.capture.SHARD_BYTES", 20_000)  # more than one shard
    config = StudyConfig.of(**ASKED, run=tmp_path / "run", engine_options=OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        run_study(config, around=capture_live(PLAN), progress=Stopping(5))
    with Run.open(tmp_path / "run") as run:
        (capture_id,) = run.captures()
        first = run.captured(capture_id)
        lost = [r.id for r in run.rollouts() if r.id not in first]
    assert first and not lost, "what is stored has its activations, interrupted or not"
    run_study(config, around=capture_live(PLAN))
    with open_engine("tiny", "transformers").engine as reader, Run.open(tmp_path / "run") as run:
        assert {r.id for r in run.rollouts()} == run.captured(capture_id) and len(first) < len(run.captured(capture_id))
        worst = 0.0
        for hook, point in zip(PLAN.hooks, PLAN.points, strict=True):
            for row, rows in read_capture(run, capture_id, hook):
                rollout = run.rollout(row.rollout_id)
                prefix = run.prefix(rollout.prefix_id)
                (read,) = reader.read([Passage(prefix, rollout.token_ids)], [point])
                start = prefix.n_prompt + len(prefix.kept_ids)
                for place, mean in zip(row.places, rows, strict=True):
                    end = prefix.n_prompt + place + 1
                    worst = max(worst, float(np.abs(mean - read[point][start:end].mean(0)).max()))
                    start = end
                assert start == prefix.n_prompt + len(prefix.kept_ids) + rollout.n_tokens
        print(f"largest difference {worst:.1e}")
        assert worst < 1e-3
    assert verify_run(tmp_path / "run") == [] and not list((tmp_path / "run").rglob("*.tmp"))


def test_what_was_sampled_without_it_is_read_afterwards(tmp_path):
    config = StudyConfig.of(**ASKED, run=tmp_path / "run", engine_options=OPTIONS)
    run_study(config)
    run_study(config.model_copy(update={"n": 6}), around=capture_live(PLAN))
    with (
        open_engine("tiny", "vllm", options=OPTIONS).engine as engine,
        Run.open(tmp_path / "run", writable=True) as run,
    ):
        (capture_id,) = run.captures()
        held, rollouts = run.captured(capture_id), {r.id for r in run.rollouts()}
        assert len(held) == 4 and held < rollouts
        size = capture_run(run, engine, PLAN)
        assert size.capture_id == capture_id and size.rollouts == len(rollouts) - 4
        assert run.captured(capture_id) == rollouts
