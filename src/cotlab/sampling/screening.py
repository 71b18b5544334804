"""Keep the problems that a model gets right sometimes: elsewhere no step can matter."""

from __future__ import annotations

from collections.abc import Callable

from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.sample_idx import SCREENING
from cotlab.chains.settings import SamplingSettings
from cotlab.sampling.base_chains import NoChain
from cotlab.sampling.draw import Sampler
from cotlab.sampling.scoring import outcomes_at
from cotlab.sampling.spec import Screen

__all__ = ["screen_problems"]


def screen_problems(
    sampler: Sampler,
    prompts: dict[str, Prefix],
    problems: dict[str, Problem],
    screen: Screen,
    settings: SamplingSettings,
    *,
    score: Callable[[], object],
    scorer_id: str,
) -> tuple[dict[str, Problem], list[NoChain]]:
    """Draw a few rollouts of each problem and keep those whose accuracy is in range.

    Looks no further once `screen.keep` problems are found. Where fewer are and `screen.fill` says so, those with the
    accuracy nearest to 1/2 make up the number.

    Returns:
        Kept problems by id, and those that were screened out, with the reason.
    """
    accuracy: dict[str, float | None] = {}
    kept: dict[str, Problem] = {}
    block = max(4, 2 * (screen.keep or len(problems)))
    ids = list(problems)
    for start in range(0, len(ids), block):
        chunk = ids[start : start + block]
        sampler.draw([prompts[key] for key in chunk], screen.n, settings, phase="screening problems", first=SCREENING)
        score()
        for key in chunk:
            outcomes = outcomes_at(sampler.run, prompts[key].id, settings, sampler.engine.card.id, scorer_id)
            accuracy[key] = share = _accuracy(outcomes, screen.n)
            if share is not None and screen.low <= share <= screen.high:
                kept[key] = problems[key]
        if screen.keep is not None and len(kept) >= screen.keep:
            kept = dict(list(kept.items())[: screen.keep])
            break
    if screen.fill and screen.keep is not None:
        near = sorted(
            (abs(share - 0.5), key) for key, share in accuracy.items() if share is not None and key not in kept
        )
        for _, key in near[: screen.keep - len(kept)]:
            kept[key] = problems[key]
            sampler.progress.say(
                f"{problems[key].name}: accuracy {accuracy[key]:.0%}, the nearest to the range that there is"
            )
    return kept, [
        NoChain(problems[key], None, _reason(share, screen)) for key, share in accuracy.items() if key not in kept
    ]


def _accuracy(outcomes: dict[int, str], n: int) -> float | None:
    found = [outcome for idx, outcome in outcomes.items() if SCREENING <= idx < SCREENING + n]
    return found.count("correct") / n if len(found) == n else None


def _reason(accuracy: float | None, screen: Screen) -> str:
    if accuracy is None:
        return "screening was not finished"
    if screen.low <= accuracy <= screen.high:
        return f"not needed: accuracy {accuracy:.0%}, and enough problems were found before"
    return f"screened out: accuracy {accuracy:.0%}"
