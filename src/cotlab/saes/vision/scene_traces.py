"""Questions on scenes as traces: what an autoencoder of an image-text model is trained on where there are no runs."""

from __future__ import annotations

import random

from cotlab.saes.traces import Trace
from cotlab.tiny.scenes import KINDS, PLAIN, World, ask, draw_scenes, problem_of
from cotlab.whitebox.vision import Asking

__all__ = ["scene_traces"]


def scene_traces(asking: Asking, n: int, *, world: World = PLAIN, seed: int = 0) -> list[Trace]:
    """One question on each of n scenes, answered rightly; half of the questions are of existence.

    Args:
        asking: The model; gives the prompts.
        n: Scenes, of the part that models were trained on.
        world: What scenes hold.
        seed: Of scenes and questions.
    """
    rng, found = random.Random(f"traces {seed}"), list[Trace]()
    for scene in draw_scenes(n, seed, world):
        kind = "exists" if rng.random() < 0.5 else rng.choice(KINDS)
        question = ask(scene, kind, rng) or ask(scene, "exists", rng)
        if question is None:
            continue
        prefix = asking.prefix(problem_of(scene, question))
        answer = asking.inside.tokenizer.encode(question.answer)
        ids = (*prefix.token_ids, *answer)
        n_think = len(prefix.kept_ids)
        name = f"{prefix.id}/{question.answer}"
        found.append(Trace(name, scene.id, ids, prefix.n_prompt, n_think, question.text, prefix.images))
    return found
