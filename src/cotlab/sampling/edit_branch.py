"""A branch under text edits, as a job: the edited prefix, the unedited one and a control, as many rollouts each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from cotlab.interventions import Edit, ForceAnswer, edits_from_json
from cotlab.sampling.branching import checked
from cotlab.sampling.edited import answer_settings, answer_stub, edit_prefix
from cotlab.sampling.progress import Progress
from cotlab.sampling.revisiting import find_chain, revisit

__all__ = ["EditConfig", "edit_job", "filler"]


class EditConfig(BaseModel):
    """Rollouts from an edited prefix, as a user asks for them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: Path
    chain_id: str
    keep: int = Field(ge=0)
    """Steps of the chain that the edits speak of."""
    edits: list[dict[str, Any]]
    """As `Edit.to_json` gives them; a forced answer without text begins as the chain's own does (`answer_stub`)."""
    control: list[dict[str, Any]] = Field(default_factory=list)
    """Edits that change as much and should say nothing; none: the unedited prefix is the only comparison."""
    n: int = Field(default=100, ge=1, le=1_000_000)
    budget: str | None = None

    @classmethod
    def of(cls, **asked: Any) -> EditConfig:
        """Check what was asked for.

        Raises:
            UserError: A value is out of range, or an edit is none.
        """
        found = checked(cls, asked)
        for edits in (found.edits, found.control):
            edits_from_json(edits)
        return found


def filler(text: str) -> str:
    """Dots of the same length, white space kept: text that says nothing (Lanham et al. 2023)."""
    return "".join(c if c.isspace() else "." for c in text)


def edit_job(config: EditConfig, progress: Progress) -> dict[str, Any]:
    """Draw what is missing of the three arms; asked again it finds everything there.

    Returns:
        `prefix_id` and `control_id` of the edited prefixes, `settings_id` and `engine_card_id` that they were drawn
        under, `base_settings_id` of the unedited one, and how many rollouts were drawn.

    Raises:
        UserError: The run was not sampled here, has no such chain, or the edits cannot be applied.
        EngineError: The engine broke; what it gave is stored.
    """
    with revisit(config.run, budget=config.budget, progress=progress) as again:
        chain = find_chain(again.run, config.chain_id)
        stub = answer_stub(chain, again.run.identity.think_close, again.engine.tokenizer)
        edits = tuple(
            ForceAnswer(stub) if isinstance(edit, ForceAnswer) and not edit.text else edit
            for edit in edits_from_json(config.edits)
        )
        control = edits_from_json(config.control)
        sampler = again.sampler({"kind": "edit", **config.model_dump(mode="json", exclude={"run"})})
        settings = answer_settings(again.settings) if _forces(edits) else again.settings
        made = [edit_prefix(sampler, chain, config.keep, one) for one in (edits, control) if one]
        again.run.add_chain_prefixes(chain)
        sampler.draw([made[0].prefix], config.n, settings, phase="the edited prefix")
        sampler.draw([chain.prefix(config.keep)], config.n, again.settings, phase="the unedited prefix")
        if len(made) > 1:
            sampler.draw([made[1].prefix], config.n, settings, phase="the control")
        again.score()
        return {
            "prefix_id": made[0].prefix.id,
            "control_id": made[1].prefix.id if len(made) > 1 else None,
            "settings_id": settings.id,
            "base_settings_id": again.settings.id,
            "engine_card_id": again.engine.card.id,
            "sampled_now": sampler.drawn.rollouts,
            "failures": sampler.drawn.failures,
            "stopped": sampler.drawn.stopped,
        }


def _forces(edits: tuple[Edit, ...]) -> bool:
    return any(edit.kind == "force-answer" for edit in edits)
