"""What came of a branch: values of its arms, effects against baseline and controls, answers, the newest rollouts."""

from __future__ import annotations

import streamlit as st

from cotlab.measures import step_effect
from cotlab.runs import Run
from cotlab.sampling import Job
from cotlab.stats import Estimate
from cotlab.trees import ConditionIds, Draws, begun_at, chain_draws, value
from parts.chain_images import show_images_at
from parts.chosen import Chosen
from parts.html import bars, block, estimate, line, numbers, say

__all__ = ["show_newest", "show_results"]


def show_results(chosen: Chosen, kept: int, job: Job) -> None:
    """What a finished job found."""
    st.subheader("What came of it", anchor=False)
    told = {
        "branch": _resampled,
        "edit": _edited,
        "image": _shown,
        "steer": _steered,
        "feature": _set,
        "suppress": _hidden,
    }
    told[job.kind](chosen, kept, job)


def _resampled(chosen: Chosen, kept: int, job: Job) -> None:
    studied, condition, result = chosen.studied, chosen.studied.condition, job.progress().result
    if condition is None:
        return
    with Run.open(chosen.path) as run:
        base = chain_draws(run, studied.chain, scorer_id=studied.scorer_id, condition=condition)[kept]
        other = base
        if result.get("settings_id") and result["settings_id"] != condition.settings_id:
            drawn = ConditionIds(result["settings_id"], result["engine_card_id"])
            other = chain_draws(run, studied.chain, scorer_id=studied.scorer_id, condition=drawn)[kept]
    if other is base:
        say(numbers({"V before this step, now": value(base).estimate, "answers told apart": str(len(base.answers()))}))
        say(bars(base.answers()))
        say(line("Importance and alternatives on “Chain” count the new rollouts already.", soft=True))
        return
    _side_by_side({"as it was": base, "at the new temperature": other})


def _edited(chosen: Chosen, kept: int, job: Job) -> None:
    told = "".join(str(edit.get("text") or "") for edit in job.asked["edits"])
    if told:
        say(line("what was put in:", soft=True), block(told))
    _side_by_side(_arms(chosen, int(job.asked["keep"]), job, ("unedited", "edited", "control: dots")))
    told = "Edits put words into the model's mouth; its own words may do more. The branch is in the tree of “Chain”."
    say(line(told, soft=True))


def _shown(chosen: Chosen, kept: int, job: Job) -> None:
    """Other images: what was shown, and what came of it."""
    result = job.progress().result
    shown = {result["prefix_id"]: "other images", result.get("control_id"): "control"}
    show_images_at(chosen, {prefix_id: name for prefix_id, name in shown.items() if prefix_id})
    control = "control: as much masked elsewhere"
    _side_by_side(_arms(chosen, int(job.asked["step"]), job, ("its own images", "other images", control)))
    told = "Right is the answer that is right for the chain's own images. The branch is in the tree of “Chain”."
    say(line(told, soft=True))


def _arms(chosen: Chosen, keep: int, job: Job, names: tuple[str, str, str]) -> dict[str, Draws]:
    """Rollouts of the unedited prefix, the edited one, and the control where there is one."""
    studied, result = chosen.studied, job.progress().result
    drawn = ConditionIds(result["settings_id"], result["engine_card_id"])
    plain = ConditionIds(result["base_settings_id"], result["engine_card_id"])
    scorer = studied.scorer_id
    with Run.open(chosen.path) as run:
        arms = {
            names[0]: chain_draws(run, studied.chain, scorer_id=scorer, condition=plain)[keep],
            names[1]: begun_at(run, result["prefix_id"], scorer_id=scorer, condition=drawn),
        }
        if result.get("control_id"):
            arms[names[2]] = begun_at(run, result["control_id"], scorer_id=scorer, condition=drawn)
    return arms


def _side_by_side(arms: dict[str, Draws]) -> None:
    """Values, effects of the second arm against the others, answers."""
    names = list(arms)
    rows: dict[str, str | Estimate] = {f"V, {name}": value(draws).estimate for name, draws in arms.items()}
    for name in names:
        if name != names[1]:
            rows[f"effect against {name}"] = step_effect(arms[name], arms[names[1]])
    moved = step_effect(arms[names[0]], arms[names[1]], "tv")
    rows["answers moved (total variation)"] = moved
    say(numbers(rows, signed=[name for name in rows if name.startswith("effect")]))
    for place, (column, (name, draws)) in enumerate(zip(st.columns(len(arms)), arms.items(), strict=True)):
        with column:
            say(line(f"{name}, {len(draws)} rollouts", soft=True), bars(draws.answers(), second=place > 0))


def _steered(chosen: Chosen, kept: int, job: Job) -> None:
    result = job.progress().result
    base = result["baseline"]
    rows: dict[str, str | Estimate] = {"V, no steering": f"{base['value']:.2f}   (n {base['n']})"}
    for arm in result["arms"]:
        shift, moved = Estimate(**arm["shift"]), Estimate(**arm["answers"])
        told = f"V {arm['value']:.2f}; effect {estimate(shift, signed=True)}; answers moved {estimate(moved)}"
        rows[arm["name"]] = told
    say(numbers(rows))
    told = "Equal seeds in all arms. A vector does something of its own where it does more than the random ones."
    say(line(f"{told} The branch is in the tree of “Chain”.", soft=True))


def _set(chosen: Chosen, kept: int, job: Job) -> None:
    result = job.progress().result
    base, size = result["baseline"], result["size"]
    rows: dict[str, str | Estimate] = {"V, nothing changed": f"{base['value']:.2f}   (n {base['n']})"}
    for arm in result["arms"]:
        shift, moved = Estimate(**arm["shift"]), Estimate(**arm["answers"])
        told = f"V {arm['value']:.2f}; effect {estimate(shift, signed=True)}; answers moved {estimate(moved)}"
        rows[arm["name"]] = told
    active = ", ".join(f"feature {name} is active at {rate:.1%} of tokens" for name, rate in size["rates"].items())
    say(line(f"The change is {size['relative']:.2f} of the activations' norm; {active}.", soft=True), numbers(rows))
    told = "Equal seeds in all arms. Features do something of their own where they do more than their controls."
    say(line(f"{told} The branch is in the tree of “Chain”.", soft=True))


def _hidden(chosen: Chosen, kept: int, job: Job) -> None:
    result, asked = job.progress().result, job.asked
    step = result["hidden"]["step"]
    rows: dict[str, str | Estimate] = {"V, nothing hidden": f"{result['baseline']:.2f}   (n {result['n']})"}
    for arm in (result["hidden"], *result["controls"]):
        shift, moved = Estimate(**arm["shift"]), Estimate(**arm["answers"])
        told = f"V {arm['value']:.2f}; effect {estimate(shift, signed=True)}; answers moved {estimate(moved)}"
        rows[f"step {arm['step']} hidden" + ("" if arm["step"] == step else " (control)")] = told
    rows["effect against control"] = Estimate(**result["beyond_controls"])
    where = f"in {', '.join(asked['heads'])}" if asked.get("heads") else "in all layers and heads"
    begins = f"from step {asked.get('blind_from') or step + 1} on"
    say(line(f"step {step} was hidden {begins}, {where}; {result['kept']} steps were kept:", soft=True))
    say(block(chosen.studied.chain.steps[step].text))
    say(numbers(rows, signed=["effect against control"]))
    told = "Equal seeds in all arms; controls hide other steps of a like length in the same way."
    say(line(f"{told} The branch is in the tree of “Chain”, where {result['kept']} steps are kept.", soft=True))


def show_newest(chosen: Chosen, prefix_id: str, job: Job) -> None:
    """The last rollouts that a job drew, as they are stored: a run has one writer, so the newest are its own."""
    st.fragment(_newest, run_every=1.5 if job.running else None)(chosen, prefix_id, job)


def _newest(chosen: Chosen, prefix_id: str, job: Job) -> None:
    with Run.open(chosen.path) as run:
        if job.kind == "branch":
            ids = [row.id for row in run.rollouts(prefix_id=prefix_id, bodies=False)]
            told = f"{len(ids):,} rollouts begin here; the newest:"
            ids = ids[-5:][::-1]
        else:
            ids = run.newest_rollouts(5) if job.progress().done else []
            told = "the newest rollouts of the run:" if ids else ""
        shown = [run.rollout(rollout_id) for rollout_id in ids]
    say(line(told, soft=True), *(block(one.text) for one in shown))
