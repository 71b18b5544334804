"""Text edits: what is changed in what a model reads, as data. Each makes another prefix.

An edit changes a prefix of a chain (its first `keep` steps): text is put in, steps are left out or say something else,
the thoughts are closed so that an answer is forced, a hint is added to the prompt. It is applied by token ids: tokens
that are kept are never tokenised again, only the text that is put in is. `edit` edges of the tree lead from the prefix
to the edited one, with the edits as their spec.

All edits here are OFF-POLICY: they put words into the model's mouth that it did not choose there, and their effect can
be 10 to 100 times weaker than that of the model's own words (Macar et al. 2025, "Thought Branches"). What the model
says itself is reached by resampling until it does: `cotlab.measures.on_policy_effect`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, NamedTuple

from cotlab.chains.chain import Chain
from cotlab.chains.prefix import Prefix
from cotlab.errors import UserError
from cotlab.identity import content_id

__all__ = [
    "AddToPrompt",
    "DeleteStep",
    "Edit",
    "EditedPrefix",
    "ForceAnswer",
    "InsertText",
    "ReplaceStep",
    "ShowImages",
    "apply_edits",
    "edits_from_json",
]

Encode = Callable[[str], Sequence[int]]


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of a prefix: frozen, hashable, serialisable. Steps are numbered as in the chain, before any edit."""

    kind: ClassVar[str] = ""
    on_policy: ClassVar[bool] = False
    """Whether the model itself chose the words."""

    @property
    def id(self) -> str:
        """Tagged hash of the spec."""
        return content_id("edit", self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The spec: `kind`, `policy` and every field."""
        return {"kind": self.kind, "policy": "on" if self.on_policy else "off", **asdict(self)}


@dataclass(frozen=True, slots=True)
class InsertText(Edit):
    """Put text before a step; `before` = number of kept steps puts it at the end."""

    kind: ClassVar[str] = "insert"
    before: int
    text: str


@dataclass(frozen=True, slots=True)
class DeleteStep(Edit):
    """Leave a step out."""

    kind: ClassVar[str] = "delete"
    step: int


@dataclass(frozen=True, slots=True)
class ReplaceStep(Edit):
    """Say something else in the place of a step."""

    kind: ClassVar[str] = "replace"
    step: int
    text: str
    """As it is: white space that parts it from what follows belongs into it."""


@dataclass(frozen=True, slots=True)
class ForceAnswer(Edit):
    """Close the thoughts and begin the answer, so that only the answer is left to say."""

    kind: ClassVar[str] = "force-answer"
    text: str
    """The think-end tag and the stub of an answer, up to where the model is to go on."""


@dataclass(frozen=True, slots=True)
class AddToPrompt(Edit):
    """Put a hint or a note into the prompt."""

    kind: ClassVar[str] = "prompt"
    text: str
    after: str
    """Text of the prompt behind whose last occurrence it is put (the question)."""


@dataclass(frozen=True, slots=True)
class ShowImages(Edit):
    """Show other images with the question, or none; the prompt is written anew (`cotlab.sampling.image_branch`)."""

    kind: ClassVar[str] = "image"
    shows: str
    """What was done: `no image`, `another image`, `masked LEFT,TOP,RIGHT,BOTTOM`."""
    images: str
    """Ids of what is shown then, in order, with commas."""


_KINDS: dict[str, type[Edit]] = {
    kind.kind: kind for kind in (InsertText, DeleteStep, ReplaceStep, ForceAnswer, AddToPrompt, ShowImages)
}


class EditedPrefix(NamedTuple):
    """What edits made of a prefix."""

    base: Prefix
    """The chain's own."""
    prefix: Prefix
    prompt_text: str
    kept_text: str
    """What all kept tokens say."""
    spec: list[dict[str, Any]]
    """The edits, for the edge."""


class _Part(NamedTuple):
    ids: tuple[int, ...]
    text: str


def apply_edits(
    chain: Chain,
    keep: int,
    edits: Sequence[Edit],
    encode: Encode,
    pieces: Callable[[Sequence[int]], list[str]],
) -> EditedPrefix:
    """Edit the prefix that keeps the first `keep` steps of a chain.

    Args:
        chain: Whose prefix.
        keep: Steps kept; edits speak of these.
        edits: Applied together: every step number is that of the chain.
        encode: Token ids of the text that is put in (`Tokenizer.encode`).
        pieces: Text that each token adds (`Tokenizer.pieces`), to find the place in the prompt.

    Raises:
        UserError: An edit speaks of a step that is not kept, two speak of the same one, or the prompt does not hold the
            text behind which something is to be put.
    """
    base = chain.prefix(keep)
    slots = [_Part(chain.response_ids[step.start : step.end], step.text) for step in chain.steps[:keep]]
    before: list[list[_Part]] = [[] for _ in range(keep + 1)]
    prompt, ending, touched = _Part(base.prompt_ids, "".join(pieces(base.prompt_ids))), list[_Part](), set[int]()
    for edit in edits:
        match edit:
            case InsertText(at, text):
                before[_checked(at, keep + 1, edit)].append(_part(text, encode, edit))
            case ForceAnswer(text):
                ending.append(_part(text, encode, edit))
            case AddToPrompt():
                prompt = _into_prompt(prompt, edit, encode, pieces)
            case DeleteStep(step) | ReplaceStep(step, _):
                if _checked(step, keep, edit) in touched:
                    raise UserError(f"step {step} is edited twice. Give one edit a step")
                touched.add(step)
                slots[step] = _part(edit.text, encode, edit) if isinstance(edit, ReplaceStep) else _Part((), "")
            case _:
                raise UserError(f"an edit of kind '{edit.kind}' cannot be applied. Use {', '.join(_KINDS)}")
    body = [part for i in range(keep) for part in (*before[i], slots[i])] + before[keep] + ending
    ids = prompt.ids + tuple(token for part in body for token in part.ids)
    return EditedPrefix(
        base,
        Prefix(ids, len(prompt.ids), base.images),
        prompt.text,
        "".join(part.text for part in body),
        [edit.to_json() for edit in edits],
    )


def edits_from_json(spec: object) -> tuple[Edit, ...]:
    """Edits from what `to_json` gave, or from the spec of an `edit` edge.

    Raises:
        UserError: It is something else.
    """
    found = []
    for one in spec if isinstance(spec, list) else [spec]:
        kind = _KINDS.get(str(one.get("kind"))) if isinstance(one, dict) else None
        if kind is None or not isinstance(one, dict):
            raise UserError(
                f"an edit is {str(one)[:80]!r}, expected an object whose kind is one of {', '.join(_KINDS)}"
            )
        values = {name: value for name, value in one.items() if name not in ("kind", "policy")}
        wanted = {field.name: int if field.name in ("before", "step") else str for field in fields(kind)}
        if set(values) != set(wanted) or any(type(values[name]) is not kind_ for name, kind_ in wanted.items()):
            named = ", ".join(f"{name}: {kind_.__name__}" for name, kind_ in wanted.items())
            raise UserError(f"an edit of kind '{kind.kind}' is {str(values)[:80]}, expected {named}")
        found.append(kind(**values))
    return tuple(found)


def _checked(at: int, bound: int, edit: Edit) -> int:
    if not 0 <= at < bound:
        raise UserError(
            f"edit '{edit.kind}' speaks of step {at}, but the prefix keeps {bound} places. Use 0..{bound - 1}"
        )
    return at


def _part(text: str, encode: Encode, edit: Edit) -> _Part:
    if not text:
        raise UserError(f"edit '{edit.kind}' has an empty text. Give the text that is to be put in")
    return _Part(tuple(encode(text)), text)


def _into_prompt(
    prompt: _Part, edit: AddToPrompt, encode: Encode, pieces: Callable[[Sequence[int]], list[str]]
) -> _Part:
    """Put text behind the token that ends what it is to follow."""
    end = prompt.text.rfind(edit.after)
    if end < 0 or not edit.after:
        raise UserError(f"the prompt does not hold {edit.after[:60]!r}, behind which {edit.text[:40]!r} is to be put")
    end += len(edit.after)
    token, length = 0, 0
    for token, piece in enumerate(pieces(prompt.ids), start=1):  # noqa: B007 - the place where it stops is wanted
        length += len(piece)
        if length >= end:
            break
    added = _part(edit.text, encode, edit)
    return _Part(
        prompt.ids[:token] + added.ids + prompt.ids[token:], prompt.text[:length] + added.text + prompt.text[length:]
    )
