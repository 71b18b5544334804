"""Rollouts from edited prefixes: the same run, the same tree, an `edit` edge between the two prefixes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate

from cotlab.chains.chain import Chain
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.tokens import Tokenizer
from cotlab.errors import UserError
from cotlab.interventions import Edit, EditedPrefix, ForceAnswer, apply_edits
from cotlab.runs import Run
from cotlab.sampling.draw import Sampler

__all__ = [
    "ANSWER_STUB",
    "answer_settings",
    "answer_stub",
    "draw_edited",
    "draw_forced",
    "edit_prefix",
    "response_stub",
]

ANSWER_STUB = "\n</think>\n\nTherefore, the final answers is \\boxed{"
"""What the authors of Thought Anchors append (`generate_rollouts.py`), for models whose think-end tag it is."""


def edit_prefix(sampler: Sampler, chain: Chain, keep: int, edits: Sequence[Edit]) -> EditedPrefix:
    """Edit the prefix that keeps the first `keep` steps of a chain, and store it with its edge.

    Raises:
        UserError: The edits cannot be applied (`apply_edits`).
    """
    tokenizer = sampler.engine.tokenizer
    edited = apply_edits(chain, keep, edits, tokenizer.encode, tokenizer.pieces)
    store_edited(sampler.run, chain, edited)
    return edited


def store_edited(run: Run, chain: Chain, edited: EditedPrefix, *, prompt_there: bool = False) -> None:
    """Add an edited prefix and its edge; what is there already stays.

    Args:
        run: Open for writing.
        chain: Whose prefix was edited.
        edited: What came out.
        prompt_there: The edited prompt is another problem's own, and in the run as that.
    """
    base, prompt = edited.base, replace(edited.prefix, token_ids=edited.prefix.prompt_ids)
    parent = base
    with run.transaction():
        if prompt != replace(base, token_ids=base.prompt_ids):  # the text of a prompt is stored with the prompt itself
            parent = prompt
            if not prompt_there:
                origin, text = chain.prefix(0), edited.prompt_text
                run.add_prefix(prompt, chain.problem_id, parent=origin, kind="edit", spec=edited.spec, text=text)
            if edited.prefix != parent:  # it goes on from the edited prompt, whose text it then has
                run.add_prefix(edited.prefix, chain.problem_id, parent=parent, text=edited.kept_text)
        if edited.prefix != parent:
            run.add_prefix(
                edited.prefix, chain.problem_id, parent=base, kind="edit", spec=edited.spec, text=edited.kept_text
            )


def draw_edited(
    sampler: Sampler,
    chain: Chain,
    plans: Iterable[tuple[int, Sequence[Edit]]],
    n: int,
    settings: SamplingSettings,
    *,
    phase: str = "edited prefixes",
) -> list[EditedPrefix]:
    """Draw `n` rollouts from each edited prefix that the run lacks.

    Args:
        sampler: Draws what is missing.
        chain: Whose prefixes are edited.
        plans: Steps kept and the edits, for each prefix.
        n: Rollouts of each.
        settings: As those of the baseline that they are compared with.
        phase: What the progress display calls it.

    Raises:
        UserError: An edit cannot be applied.
        EngineError: The engine broke; what it gave is stored.
    """
    found = [edit_prefix(sampler, chain, keep, edits) for keep, edits in plans]
    room = [one.prefix for one in found if settings.new_tokens(len(one.prefix.kept_ids)) > 0]
    sampler.draw(room, n, settings, phase=phase)
    return found


def answer_stub(chain: Chain, think_close: str, tokenizer: Tokenizer) -> str:
    r"""How a chain itself goes from its thoughts to its answer, up to the opening of the box; else the published stub.

    The model's own words are better than those of another: they are what it says before an answer anyway. They end
    where one of its tokens ends, at the latest behind the think-end tag: after half of a token (`\boxed{` of
    `\boxed{(`) a model says what it never says.
    """
    return response_stub("".join(step.text for step in chain.steps), chain.response_ids, think_close, tokenizer)


def response_stub(text: str, ids: Sequence[int], think_close: str, tokenizer: Tokenizer) -> str:
    """`answer_stub` of any response.

    Args:
        text: What it says.
        ids: Its tokens.
        think_close: The model's think-end tag.
        tokenizer: Of the model.
    """
    closed = text.rfind(think_close) if think_close else -1
    box = text.find("\\boxed{", max(closed, 0))
    if closed < 0 or box < 0:
        return ANSWER_STUB.replace("</think>", think_close) if think_close else "\n\nTherefore, the answer is \\boxed{"
    ends = accumulate(len(piece) for piece in tokenizer.pieces(ids))
    whole = max((end for end in ends if end <= box + len("\\boxed{")), default=0)
    return text[closed : max(whole, closed + len(think_close))]


def answer_settings(settings: SamplingSettings) -> SamplingSettings:
    """The same, ended by the end of the line: only the answer is wanted."""
    return settings if "\n" in settings.stop else replace(settings, stop=(*settings.stop, "\n"))


def draw_forced(
    sampler: Sampler,
    chain: Chain,
    n: int,
    settings: SamplingSettings,
    *,
    text: str | None = None,
    think_close: str = "</think>",
    positions: Sequence[int] | None = None,
) -> list[EditedPrefix]:
    """Force an answer after each prefix of a chain: close the thoughts, begin the answer, sample only the rest.

    Args:
        sampler: Draws what is missing.
        chain: Whose prefixes.
        n: Answers at each prefix.
        settings: Those of the baseline; the end of the line ends a rollout besides. Where the text is what the chain
            itself says next, they are the baseline's: a chain has rollouts of one condition.
        text: Think-end tag and answer stub; None: `answer_stub`.
        think_close: The model's think-end tag.
        positions: Steps kept; None: every position at which the chain still thinks.

    Raises:
        UserError: A position lies beyond the chain's thoughts.
        EngineError: The engine broke; what it gave is stored.
    """
    last = thinking_steps(chain, think_close)
    wanted = list(range(last + 1)) if positions is None else sorted(set(positions))
    if beyond := [k for k in wanted if not 0 <= k <= last]:
        raise UserError(f"position {beyond[0]} lies beyond the chain's {last} thinking steps. Use 0..{last}")
    edit = ForceAnswer(answer_stub(chain, think_close, sampler.engine.tokenizer) if text is None else text)
    plans = [(k, (edit,)) for k in wanted]
    own = {chain.prefix(k).id for k in range(len(chain.steps) + 1)}
    found = [edit_prefix(sampler, chain, keep, edits) for keep, edits in plans]
    for on_chain, under in ((False, answer_settings(settings)), (True, settings)):
        here = [one.prefix for one in found if (one.prefix.id in own) == on_chain]
        room = [prefix for prefix in here if under.new_tokens(len(prefix.kept_ids)) > 0]
        sampler.draw(room, n, under, phase="forced answers")
    return found


def thinking_steps(chain: Chain, think_close: str) -> int:
    """How many steps come before the one that closes the thoughts; all of them where none does."""
    if not think_close:
        return len(chain.steps)
    for i, step in enumerate(chain.steps):
        here = "".join(one.text for one in chain.steps[i : i + 2])
        if think_close in step.text or (think_close in here and think_close not in here[len(step.text) :]):
            return i
    return len(chain.steps)
