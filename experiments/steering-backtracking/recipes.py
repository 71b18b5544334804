"""Which recipe makes the tiny reasoner backtrack: each at each layer, by sampling at one dose.

Recipes: those of `cotlab steer vector`, and `manners`: mean over the tokens of chains whose prompt asks to be careful
minus that of chains whose prompt asks to be quick, on the same problems.

    python experiments/steering-backtracking/recipes.py --out runs/backtracking-recipes
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from cotlab import tiny
from cotlab.chains.prefix import Prefix
from cotlab.chains.rollout import Rollout
from cotlab.engines import Request, open_engine
from cotlab.engines.base import Passage
from cotlab.identity import seed_for
from cotlab.interventions import Condition, HookPoint, SteeringVector, save_vector
from cotlab.problems import load_problems
from cotlab.problems.tasks import tiny_problem
from cotlab.whitebox import StudyPlan, steer_layers, text_vector
from cotlab.whitebox.layer_study import LayerRow

HERE = Path(__file__).resolve().parent
POINTS = [HookPoint("resid_post", layer) for layer in range(3)]


def manners(n_problems: int, n: int) -> SteeringVector:
    """Careful minus quick."""
    opened = open_engine("tiny")
    with opened.engine as engine:
        sides: list[list[Passage]] = []
        for manner in ("careful", "quick"):
            requests, prefixes = [], {}
            for problem in load_problems("countdown", n=2 * n_problems, seed=0)[:n_problems]:
                task = tiny.problem_from_question(problem.question)
                assert task is not None, "countdown is a tiny task"
                noted = tiny_problem(task.noted(manner=manner), f"{problem.name} {manner}")
                ids = tuple(opened.template.encode(noted, engine.tokenizer))
                prefix = Prefix(ids, len(ids))
                prefixes[prefix.id] = prefix
                condition = Condition(prefix, opened.card.sampling)
                requests += [Request(condition, i, seed_for(0, prefix.id, i)) for i in range(n)]
            found = [one for one in engine.sample(requests) if isinstance(one, Rollout)]
            found.sort(key=lambda one: (one.prefix_id, one.sample_idx))
            sides.append([Passage(prefixes[one.prefix_id], one.token_ids or ()) for one in found])
        data = f"{len(sides[0])} careful and {len(sides[1])} quick rollouts of {n_problems} countdown problems, seed 0"
        return text_vector(engine, sides[0], sides[1], POINTS, name="careful, not quick", at="mean", data=data)


def sampled(row: LayerRow) -> dict[str, Any]:
    """A layer without the divergences, which `cotlab steer layers` tells of the recipe that is chosen."""
    document = row.to_json()
    shown = ("dose", "shift", "against_negative", "accuracy")
    doses = [{name: one[name] for name in shown} for one in document["doses"]]
    return {"hook": row.hook, "norm": row.norm, "doses": doses}


def main() -> None:
    """Try all, write the table."""
    parser = argparse.ArgumentParser(description="Recipes of a backtracking vector, by layer.")
    parser.add_argument("--out", type=Path, default=Path("runs/backtracking-recipes"))
    parser.add_argument("--n-problems", type=int, default=40)
    parser.add_argument("-n", type=int, default=3)
    parser.add_argument("--dose", type=float, default=0.2)
    asked = parser.parse_args()
    table = {}
    for recipe in ("matched", "difference", "pca", "steering-thinking-llms", "manners"):
        made = manners(asked.n_problems, asked.n) if recipe == "manners" else None
        plan = StudyPlan(
            method="matched" if made else recipe,  # type: ignore[arg-type]  # checked where it is used
            doses=(asked.dose,),
            n_problems=asked.n_problems,
            n=asked.n,
        )
        report = steer_layers(plan, asked.out, vector=made)
        save_vector(report.vector, asked.out / f"{recipe}.safetensors")
        table[recipe] = {
            "vector": report.vector.id,
            "stability": report.vector.card.stability,
            "layers": [sampled(row) for row in report.rows],
        }
        for row in report.rows:
            at = row.doses[0]
            moved, cost = at.against_negative, at.accuracy
            print(
                f"| {recipe} | {row.hook} | {row.norm:.2f} | "
                f"{moved.value:+.3f} [{moved.low:+.3f}, {moved.high:+.3f}] | "
                f"{cost.value:+.2f} [{cost.low:+.2f}, {cost.high:+.2f}] |",
                flush=True,
            )
    spec = {"dose": asked.dose, "n_problems": asked.n_problems, "n": asked.n, "model": report.vector.card.revision}
    (HERE / "recipes.json").write_text(json.dumps({**spec, "recipes": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
