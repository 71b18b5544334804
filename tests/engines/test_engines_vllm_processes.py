"""The worker extension where vLLM's engine and worker are processes of their own, as they are on GPUs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from steering_reference import PREFIXES, Steered, holds, small_folder
from vllm_in_processes import POINT, requests
from vllm_reference import TOLERANCE, needs_vllm

from cotlab.engines.base import Passage
from cotlab.engines.hf import TransformersEngine
from cotlab.engines.hf_options import TransformersOptions
from cotlab.interventions import Steering

pytestmark = [*needs_vllm, pytest.mark.slow, pytest.mark.timeout(900)]


def test_interventions_and_reading_go_through_to_workers_in_other_processes(tmp_path):
    from engines_small import byte_tokenizer

    folder = small_folder(tmp_path, "qwen2")
    here = Path(__file__).resolve().parent
    paths = [str(here), str(here.parent), str(here.parent.parent / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "1", "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, str(here / "vllm_in_processes.py"), str(folder)],
        env=environment, capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["core"] == "SyncMPClient", "the engine must be in another process for this test to say much"
    assert told["hooks"] == 0 and len(told["rollouts"]) == len(requests())
    reference = Steered(folder)
    asked = {(r.condition.prefix.id, r.condition.intervention.id, r.sample_idx): r.condition for r in requests()}
    with TransformersEngine(
        folder, byte_tokenizer(), name="small", revision="random", template_id="plain",
        options=TransformersOptions(device="cpu"),
    ) as other:  # fmt: skip
        for prefix_id, intervention_id, idx, ids, logprobs, steered, read in told["rollouts"]:
            condition = asked[prefix_id, intervention_id, idx]
            arm = condition.intervention if isinstance(condition.intervention, Steering) else None
            prefix, whole = condition.prefix, [*condition.prefix.token_ids, *ids]
            wanted = reference.logprobs(whole, arm, prefix)[len(prefix.token_ids) - 1 :]
            assert logprobs == pytest.approx(wanted, abs=TOLERANCE)
            if arm is not None:
                assert steered == sum(holds(arm.where, whole[:-1], prefix.n_prompt, len(prefix.token_ids)))
            places = range(len(prefix.token_ids), len(whole))
            (there,) = other.read([Passage(prefix, tuple(ids), condition.intervention)], [POINT], [places])
            assert np.array(read) == pytest.approx(there[POINT], abs=TOLERANCE)
    plain = reference.logprobs([*PREFIXES[0].token_ids, 65, 66, 67], None, PREFIXES[0])
    assert told["after"] == pytest.approx(plain, abs=1e-5), "steered requests leave the baseline's cache alone"
