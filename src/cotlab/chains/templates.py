r"""Templates: a problem as the prompt that a model is given.

A prompt is question, lettered options and instruction, in the model's chat format, up to where the model is to speak,
with the think tag opened where the model expects that. Five kinds:

| kind | format |
|---|---|
| `r1` | DeepSeek-R1 and its distillations: BOS, system text, `<｜User｜>…<｜Assistant｜>` |
| `qwen3` | ChatML: Qwen3, QwQ: `<|im_start|>user\n…<|im_end|>\n<|im_start|>assistant\n` |
| `plain` | the question, then a stub of the answer (nothing by default): base models |
| `tokenizer` | the chat template that comes with the tokenizer |
| `file` | a Jinja file of the user's own, run in jinja2's immutable sandbox |

A `file` sees `question` (with its options), `bos_token`, `eos_token`, `system`, `think_open`, `choices` and, so that
chat templates of the hub can be used as they are, `messages`, `add_generation_prompt`, `enable_thinking` and `tools`.
As in transformers, the line break behind a block tag and the blanks before one are dropped; so is one line break at the
end of the file, which editors add.

Images of a problem stand before the question, in the words of the model's family (`cotlab.chains.image_families`), or
where the question says `<image>`; in every kind they are part of what the user says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cotlab.chains.image_models import IMAGE_MODELS
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.think import DEFAULT_TAGS, ThinkTags
from cotlab.chains.tokens import ChatTokenizer, Tokenizer, image_reader
from cotlab.errors import DataError, ModelError
from cotlab.identity import content_id

if TYPE_CHECKING:
    from cotlab.chains.image_reader import ImageReader

__all__ = [
    "CHOICE_INSTRUCTION",
    "MATH_INSTRUCTION",
    "Template",
    "TemplateKind",
    "ThinkMode",
    "chat_template_opens",
    "template_from_file",
]

TemplateKind = Literal["r1", "qwen3", "plain", "tokenizer", "file"]
ThinkMode = Literal["open", "model", "none"]
"""open: the prompt ends in an opened think tag. model: the model opens it. none: no tag (`--no-think-tag`)."""

MATH_INSTRUCTION = r"Please reason step by step, and put your final answer within \boxed{}."
"""What DeepSeek and Qwen recommend for mathematics (their model cards)."""
CHOICE_INSTRUCTION = r"Please reason step by step, and put the letter of your answer within \boxed{}."

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Template:
    """How a problem becomes a prompt; `id` enters the engine card."""

    kind: TemplateKind
    think: ThinkMode = "open"
    tags: ThinkTags = DEFAULT_TAGS
    instruction: str = MATH_INSTRUCTION
    """Stands behind the question, on a line of its own; "" for none."""
    choice_instruction: str = CHOICE_INSTRUCTION
    """Stands there instead where the problem has choices."""
    system: str = ""
    system_role: bool = True
    """Whether the model has a system role; else the system text stands before the question."""
    stub: str = ""
    """What a `plain` answer starts with."""
    source: str = ""
    """Jinja text of the kinds `tokenizer` (see `bound`) and `file`."""

    @property
    def id(self) -> str:
        """Tagged hash of all fields.

        Raises:
            ModelError: The kind is `tokenizer` and the template is not yet `bound` to one.
        """
        if self.kind == "tokenizer" and not self.source:
            raise ModelError(
                "template kind 'tokenizer' is not bound to a tokenizer. Call template.bound(tokenizer) first"
            )
        return content_id("template", asdict(self))

    @property
    def opened(self) -> bool:
        """Whether responses start inside their thoughts (what `split_response` asks)."""
        return self.think == "open"

    def without_think_tag(self) -> Template:
        """The same, with no think tag in the prompt."""
        return replace(self, think="none")

    def bound(self, tokenizer: Tokenizer) -> Template:
        """The same, holding the tokenizer's own chat template where that is what it renders.

        Raises:
            ModelError: The tokenizer has no chat template.
        """
        if self.kind != "tokenizer" or self.source:
            return self
        source = tokenizer.chat_template if isinstance(tokenizer, ChatTokenizer) else ""
        if not source:
            raise ModelError("the tokenizer has no chat template. Choose a template: r1, qwen3, plain or your own file")
        return replace(self, source=source)

    def question(self, problem: Problem) -> str:
        """What the user says: question, lettered options, instruction.

        Raises:
            DataError: There are more options than letters.
        """
        parts = [problem.question.strip()]
        if len(problem.choices) > len(_LETTERS):
            raise DataError(
                f"problem {problem.name!r} has {len(problem.choices)} choices, more than the {len(_LETTERS)} letters"
            )
        if problem.choices:
            lettered = zip(_LETTERS, problem.choices, strict=False)
            parts.append("\n" + "\n".join(f"{letter}. {choice.strip()}" for letter, choice in lettered) + "\n")
        if problem.checker != "yes-no":  # a question for one word says itself how it is answered
            parts.append(self.choice_instruction if problem.choices else self.instruction)
        return "\n".join(part for part in parts if part)

    def render(self, problem: Problem, tokenizer: Tokenizer) -> str:
        """The prompt as text.

        Raises:
            ModelError: The tokenizer's own chat template is wanted and there is none, or it fails; or the problem shows
                images, which the model does not read.
            DataError: The user's template fails, there are more options than letters, or an image cannot be shown.
        """
        question = self.question(problem)
        reader = reader_for(problem, tokenizer) if problem.images else image_reader(tokenizer)
        if self.system and not self.system_role:
            question = f"{self.system}\n\n{question}"
        system = self.system if self.system_role else ""
        said = question if reader is None else reader.marked(question, len(problem.images))
        if self.kind == "file":
            text = self._render_file(problem, said, system, tokenizer)
        elif self.kind == "tokenizer":
            parts = None if reader is None else reader.parts(question, len(problem.images))
            text = self._render_chat(said, parts, system, tokenizer)
        else:
            text = self._render_fixed(said, system, tokenizer)
        return self._with_think_tag(text)

    def encode(self, problem: Problem, tokenizer: Tokenizer) -> tuple[int, ...]:
        """The prompt as token ids, with the image tokens that its images take; raises what `render` does."""
        ids = tuple(tokenizer.encode(self.render(problem, tokenizer)))
        reader = image_reader(tokenizer)
        return ids if reader is None else reader.expanded(ids, problem.images)

    def prompt(self, problem: Problem, tokenizer: Tokenizer) -> Prefix:
        """The prompt as a prefix that keeps nothing of a response; raises what `render` does."""
        ids = self.encode(problem, tokenizer)
        return Prefix(ids, len(ids), problem.images)

    def _render_fixed(self, question: str, system: str, tokenizer: Tokenizer) -> str:
        named = tokenizer if isinstance(tokenizer, ChatTokenizer) else None
        if self.kind == "r1":
            return f"{named.bos_token if named else ''}{system}<｜User｜>{question}<｜Assistant｜>"
        if self.kind == "qwen3":
            turns = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
            return f"{turns}<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
        bos = named.bos_token if named and named.starts_with_bos else ""
        head = f"{system}\n\n" if system else ""
        return f"{bos}{head}{question}\n{self.stub}"

    def _render_chat(self, question: str, parts: list[dict[str, str]] | None, system: str, tokenizer: Tokenizer) -> str:
        """The question as text, or as parts where the model sees images and its template takes them so."""
        from jinja2 import TemplateError

        source = self.bound(tokenizer).source
        if not isinstance(tokenizer, ChatTokenizer):
            raise ModelError(
                f"tokenizer {type(tokenizer).__name__} renders no chat template. Choose another template kind"
            )
        try:
            messages = _messages(question, system)
            if parts is not None and _takes_parts(source, tokenizer):
                messages = [{**one, "content": [{"type": "text", "text": one["content"]}]} for one in messages]
                messages[-1]["content"] = parts
            text = tokenizer.render_chat(source, messages, enable_thinking=True)
        except TemplateError as error:
            raise ModelError(
                f"the tokenizer's chat template fails: {error}. Choose a template: r1, qwen3, plain"
            ) from error
        # Templates of image processors leave the first token to the tokenizer.
        bos = tokenizer.bos_token if image_reader(tokenizer) is not None and tokenizer.starts_with_bos else ""
        return text if text.startswith(bos) else bos + text

    def _render_file(self, problem: Problem, question: str, system: str, tokenizer: Tokenizer) -> str:
        named = tokenizer if isinstance(tokenizer, ChatTokenizer) else None
        return _run_jinja(
            self.source,
            {
                "question": question,
                "choices": list(problem.choices),
                "bos_token": named.bos_token if named else "",
                "eos_token": named.eos_token if named else "",
                "system": system,
                "think_open": f"{self.tags.open}\n" if self.opened else "",
                "messages": _messages(question, system),
                "add_generation_prompt": True,
                "enable_thinking": self.think != "none",
                "tools": None,
            },
        )

    def _with_think_tag(self, text: str) -> str:
        is_open = text.rstrip().endswith(self.tags.open)
        if self.think == "open" and not is_open:
            return f"{text}{self.tags.open}\n"
        if self.think == "none" and is_open:
            return text.rstrip().removesuffix(self.tags.open)
        return text


def template_from_file(path: str | Path, think: ThinkMode = "open", tags: ThinkTags = DEFAULT_TAGS) -> Template:
    """A user's own template; its name and place do not matter, only its text.

    The instruction is left to the file: the question comes without one.

    Raises:
        DataError: The file cannot be read, is empty or is not valid Jinja.
    """
    from jinja2 import TemplateSyntaxError

    try:
        source = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"template file '{path}' cannot be read: {error}. Give a Jinja file in UTF-8") from error
    if not source.strip():
        raise DataError(f"template file '{path}' is empty. It needs at least {{{{ question }}}}")
    try:
        _environment().parse(source)
    except TemplateSyntaxError as error:
        raise DataError(f"template file '{path}', line {error.lineno}: {error.message}") from error
    return Template("file", think, tags, instruction="", choice_instruction="", source=source)


def reader_for(problem: Problem, tokenizer: Tokenizer) -> ImageReader:
    """What reads the images of a problem.

    Raises:
        ModelError: The model reads none.
    """
    reader = image_reader(tokenizer)
    if reader is None:
        raise ModelError(
            f"problem {problem.name or problem.question[:40]!r} shows {len(problem.images)} images; this model sees "
            f"none: take one of the families {', '.join(IMAGE_MODELS)}, or leave the images out"
        )
    return reader


def _takes_parts(source: str, tokenizer: ChatTokenizer) -> bool:
    """Whether a chat template wants what is said as a list of parts (those of most processors do), not as text."""
    from jinja2 import TemplateError

    said = "\u2603 a probe"
    try:
        text = tokenizer.render_chat(source, [{"role": "user", "content": [{"type": "text", "text": said}]}])
    except (TemplateError, TypeError):
        return False
    return said in text and "'text'" not in text  # else the list itself was printed


def _messages(question: str, system: str) -> list[dict[str, Any]]:
    head = [{"role": "system", "content": system}] if system else []
    return [*head, {"role": "user", "content": question}]


def chat_template_opens(source: str, tags: ThinkTags = DEFAULT_TAGS) -> bool:
    """Whether a chat template of the hub ends its prompts in an opened think tag; False where it does not render."""
    from jinja2 import TemplateError, Undefined

    variables = {"messages": _messages("?", ""), "add_generation_prompt": True, "bos_token": "", "eos_token": ""}
    try:
        text = _environment(Undefined).from_string(source).render(variables)
    except (TemplateError, TypeError):
        return False  # it needs what only transformers gives; rendering proper then says what is wrong
    return str(text).rstrip().endswith(tags.open)


def _environment(undefined: Any = None) -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, undefined=undefined or StrictUndefined)


def _run_jinja(source: str, variables: Mapping[str, Any]) -> str:
    from jinja2 import TemplateError

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    try:
        return str(_environment().from_string(source).render(raise_exception=raise_exception, **variables))
    except (TemplateError, TypeError, OverflowError, ZeroDivisionError) as error:
        names = ", ".join(sorted(variables))
        raise DataError(f"the template file fails: {error}. It may use {names}") from error
