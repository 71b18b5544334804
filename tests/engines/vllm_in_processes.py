"""A program: opens a small model in vLLM with its engine and worker in processes of their own, says what it gives."""

import json
import sys

from engines_small import byte_tokenizer
from steering_reference import PREFIXES, steerings

from cotlab.chains.settings import SamplingSettings
from cotlab.engines.base import Passage, Request
from cotlab.engines.vllm import VllmEngine, VllmOptions
from cotlab.interventions import Baseline, Condition, HookPoint

POINT = HookPoint("resid_post", 1)


def requests():
    """A mixed batch: two samples of each prefix under each arm."""
    settings = SamplingSettings(1.0, 1.0, 0, 40)
    arms = [Baseline(), *steerings()]
    return [Request(Condition(p, settings, a), i, 1_000_003 * i + 5) for p in PREFIXES for a in arms for i in range(2)]


def main(folder):
    """Sample, read while sampling, score a baseline after it."""
    options = VllmOptions(max_rows=16, kv_gib=0.05, dtype="float32")
    with VllmEngine(
        folder, byte_tokenizer(), name="small", revision="random", template_id="plain", options=options
    ) as engine:
        rollouts = [
            [r.prefix_id, r.intervention_id, r.sample_idx, r.token_ids, r.logprobs, r.steered_tokens, found.tolist()]
            for r, read in engine.sample_reading(requests(), [POINT])
            for found in [read[POINT]]
        ]
        (after,) = engine.logprobs([Passage(PREFIXES[0], (65, 66, 67))])
        core = type(engine._llm.llm_engine.engine_core).__name__
        hooks = engine._llm.llm_engine.collective_rpc("cotlab_hooks")[0]
    print(json.dumps({"core": core, "hooks": hooks, "rollouts": rollouts, "after": after}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
