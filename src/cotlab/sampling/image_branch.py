"""A branch under other images, as a job: nothing shown, another image of the run, or a region masked.

The question and the kept steps stay; the prompt is written anew, as the images may take more or fewer tokens. Beside it
stand the unedited prefix and, where a region is masked, a control with as much masked elsewhere.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cotlab.chains.chain import Chain
from cotlab.chains.image import Image
from cotlab.chains.image_reader import MARK
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.errors import UserError
from cotlab.interventions import EditedPrefix, ShowImages
from cotlab.problems.image_edits import Region, boxes_elsewhere, mask_boxes
from cotlab.runs import Run
from cotlab.sampling.branching import checked
from cotlab.sampling.edited import store_edited
from cotlab.sampling.progress import Progress
from cotlab.sampling.revisiting import Revisit, find_chain, revisit

__all__ = ["ImageConfig", "image_job", "showings"]

Images = tuple[Image, ...]


class ImageConfig(BaseModel):
    """Rollouts of a chain's prefix under other images, as a user asks for them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: Path
    chain_id: str
    step: int = Field(ge=0)
    """Steps of the chain that are kept."""
    shows: Literal["none", "other", "masked"]
    number: int = Field(default=0, ge=0)
    """Which of the chain's images is changed, from 0; for `none` all are left out."""
    image: str = ""
    """`other`: id of an image of the run."""
    region: tuple[int, int, int, int] | None = None
    """`masked`: left, top, right, bottom in pixels of the image, right and bottom not included."""
    n: int = Field(default=40, ge=1, le=1_000_000)
    budget: str | None = None

    @classmethod
    def of(cls, **asked: Any) -> ImageConfig:
        """Check what was asked for.

        Raises:
            UserError: A value is out of range, or what is to be shown is not said.
        """
        found = checked(cls, asked)
        if found.shows == "masked" and found.region is None:
            raise UserError("there is no region to mask: give left, top, right, bottom in pixels")
        if found.shows == "other" and not found.image:
            raise UserError("there is no other image: give the id of one of the run")
        return found


def showings(run: Run, chain: Chain, config: ImageConfig) -> tuple[tuple[Images, str], tuple[Images, str] | None]:
    """What is shown, and what the control shows; each with what was done, in words.

    Raises:
        UserError: The chain shows no such image, or the region is empty, leaves it or has the colour around it, or the
            run has no such image.
    """
    if config.number >= len(chain.images):
        raise UserError(
            f"image {config.number} of chain {chain.id[:8]} cannot be changed: it shows {len(chain.images)} images, "
            "numbered from 0"
        )
    if config.shows == "none":
        return ((), "no image"), None
    before = chain.images[config.number]

    def instead(image: Image) -> Images:
        return (*chain.images[: config.number], image, *chain.images[config.number + 1 :])

    if config.shows == "other":
        if config.image == before.id or config.image not in run.image_ids():
            raise UserError(f"image {config.image[:40]!r} is no other image of {run.path.name}: choose one of its")
        return (instead(run.image(config.image)), "another image"), None
    region = _checked(config.region or (0, 0, 0, 0), before)
    masked = mask_boxes(before, [region])
    if masked.id == before.id:
        raise UserError(
            f"region {list(region)} holds nothing to mask: it has the colour of what is around it, and the image would "
            "stay as it is; choose one that holds something"
        )
    elsewhere = boxes_elsewhere(before, [region], random.Random(f"{before.id}/{region}"))
    other = before if elsewhere is None else mask_boxes(before, elsewhere)
    control = None if other.id == before.id or elsewhere is None else (instead(other), _masked(elsewhere[0]))
    return (instead(masked), _masked(region)), control


def _checked(region: Region, image: Image) -> Region:
    left, top, right, bottom = region
    if not (0 <= left < right <= image.width and 0 <= top < bottom <= image.height):
        raise UserError(
            f"region {list(region)} is empty or leaves its image of {image.width} × {image.height} pixels: give left, "
            "top, right, bottom within it"
        )
    return region


def _masked(region: Region) -> str:
    return f"masked {','.join(map(str, region))}"


def image_job(config: ImageConfig, progress: Progress) -> dict[str, Any]:
    """Draw what is missing of the arms; asked again it finds everything there.

    Returns:
        As `edit_job` does.

    Raises:
        UserError: The run was not sampled here, has no such chain, or the images cannot be changed so.
        EngineError: The engine broke; what it gave is stored.
    """
    with revisit(
        config.run,
        budget=config.budget,
        progress=progress,
        check=lambda run: showings(run, find_chain(run, config.chain_id), config),
    ) as again:
        chain = find_chain(again.run, config.chain_id)
        made = [_made(again, chain, config.step, *one) for one in showings(again.run, chain, config) if one]
        sampler = again.sampler({"kind": "image", **config.model_dump(mode="json", exclude={"run"})})
        again.run.add_chain_prefixes(chain)
        for one in made:
            prompt = replace(one.prefix, token_ids=one.prefix.prompt_ids)
            there = _owner(again.run, prompt) not in (None, chain.problem_id)
            store_edited(again.run, chain, one, prompt_there=there)
        arms = [made[0].prefix, chain.prefix(config.step), *(one.prefix for one in made[1:])]
        for prefix, phase in zip(arms, ("with other images", "with its own images", "the control"), strict=False):
            sampler.draw([prefix], config.n, again.settings, phase=phase)
        again.score()
        return {
            "prefix_id": made[0].prefix.id,
            "control_id": made[1].prefix.id if len(made) > 1 else None,
            "settings_id": again.settings.id,
            "base_settings_id": again.settings.id,
            "engine_card_id": again.engine.card.id,
            "sampled_now": sampler.drawn.rollouts,
            "failures": sampler.drawn.failures,
            "stopped": sampler.drawn.stopped,
        }


def _made(again: Revisit, chain: Chain, keep: int, images: Images, shows: str) -> EditedPrefix:
    """The prefix with its prompt written for other images.

    Raises:
        UserError: There is no such prefix, the chain's prompt was written otherwise, or the prompt that comes out is
            another problem's own.
    """
    if keep > len(chain.steps):
        raise UserError(f"{keep} steps cannot be kept: the chain has {len(chain.steps)}. Use 0..{len(chain.steps)}")
    problem, tokenizer = again.run.problems()[chain.problem_id], again.engine.tokenizer
    base = chain.prefix(keep)
    if again.template.prompt(problem, tokenizer).token_ids != base.prompt_ids:
        raise UserError(
            "the prompt of this chain is not what the run's template writes, so none can be written beside it"
        )
    prompt = again.template.prompt(_showing(problem, images), tokenizer)
    if keep == 0 and (owner := _owner(again.run, prompt)) not in (None, problem.id):
        named = again.run.problems()[str(owner)].name or owner
        raise UserError(f"this question with that image is the problem {named!r:.60} of the run: look at its chain")
    edit = ShowImages(shows, ",".join(image.id for image in images))
    return EditedPrefix(
        base,
        replace(prompt, token_ids=prompt.token_ids + base.kept_ids),
        tokenizer.decode(prompt.token_ids),
        "".join(step.text for step in chain.steps[:keep]),
        [edit.to_json()],
    )


def _owner(run: Run, prompt: Prefix) -> str | None:
    """The problem that a prompt is stored under; None where it is not in the run."""
    return next((row.problem_id for row in run.prefixes() if row.id == prompt.id), None)


def _showing(problem: Problem, images: Images) -> Problem:
    """The problem with other images; where none is shown the question marks none."""
    question = problem.question if images else problem.question.replace(MARK, "")
    return replace(problem, question=question, images=images)
