"""The planted dictionary: what the transfer test, fine-tuning and drift say, beside what is known; planted.json.

python experiments/sae-transfer/run_planted.py
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import torch

from cotlab.saes import TrainPlan, against_null, feature_drift, finetune_sae, fires_in, own_drift, transfer_test

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from planted import ANGLE, NEW, POINT, ROTATED, plant  # noqa: E402


def found() -> dict[str, Any]:
    """Everything, as JSON values."""
    planted = plant()
    traces, fit = planted.chains(60), planted.chains(20, seed=1)
    plan = TrainPlan("topk", 5, tokens=256 * 1500, batch=256, lr=2e-3, patience=8, dead_after=50)
    chains = planted.chains(300, seed=2)
    made = finetune_sae(planted.sae, planted.tuned, chains, plan)
    test = transfer_test([planted.sae], planted.base, planted.tuned, traces, fit, tuned=[made.sae])
    same = transfer_test([planted.sae], planted.base, planted.base, traces, fit)
    rates = test.rates[str(POINT)]
    drift = feature_drift(planted.sae, made.sae, (rates["transferred"], rates["fine-tuned"]))
    null = own_drift(planted.sae, planted.base, chains, traces, plan, made.training.best)
    drift = against_null(drift, null)
    rows = torch.nn.functional.normalize(made.sae.W_dec, dim=1) @ planted.directions.T
    new = [one.feature for one in drift.of("new")]
    found_as = {index: int(rows[new, 40 + index].argmax()) for index in range(NEW)}
    fires = {one.feature: one for one in fires_in(planted.tuned, made.sae, new, traces, planted.category)}
    return {
        "explained_variance": {"planted codes": planted.explained_variance(traces)},
        "rows": [row.to_json() for row in test.rows if row.part == "all"],
        "verdict": test.verdict,
        "verdict, nothing changed": same.verdict,
        "states": drift.states,
        "drifted": drift.drifted,
        "states, trained on the own model": null.states,
        "rotated": {
            "planted cosine": math.cos(ANGLE),
            "decoder cosine": [drift.features[feature].decoder_cosine for feature in range(ROTATED)],
            "with the planted direction": rows[:ROTATED, :ROTATED].diagonal().tolist(),
        },
        "new": [
            {
                "planted": index,
                "feature": new[place],
                "with the planted direction": float(rows[new[place], 40 + index]),
                "fires in": fires[new[place]].category,
                "share": fires[new[place]].share,
            }
            for index, place in found_as.items()
        ],
    }


if __name__ == "__main__":
    document = found()
    (HERE / "planted.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    print(document["verdict"])
    print(document["states"], document["drifted"], document["explained_variance"])
