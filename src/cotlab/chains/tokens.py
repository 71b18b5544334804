"""Text to token ids and back, piece by piece."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from cotlab.chains.pieces import byte_fallback_pieces, byte_level_pieces
from cotlab.errors import ModelError
from cotlab.identity import content_id

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from cotlab.chains.image_reader import ImageReader

__all__ = ["ChatTokenizer", "HFTokenizer", "Tokenizer", "image_reader"]


class Tokenizer(Protocol):
    """Text to token ids and back. Implementations: `HFTokenizer` here, the markov engine's own."""

    @property
    def id(self) -> str:
        """Hash of the vocabulary and the rules."""
        ...

    @property
    def eos_ids(self) -> frozenset[int]:
        """Tokens that end a response."""
        ...

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; no special token is added."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of the tokens, special tokens left out, white space as it is."""
        ...

    def pieces(self, token_ids: Sequence[int]) -> list[str]:
        """Text that each token adds: `"".join(pieces(ids)) == decode(ids)`.

        Where a character is spread over several tokens, it belongs to the LAST of them and the others add "".
        """
        ...


@runtime_checkable
class ChatTokenizer(Protocol):
    """What templates need beyond a `Tokenizer`: special tokens by name and the model's own chat template."""

    @property
    def bos_token(self) -> str:
        """Text of the token that starts a sequence; "" where there is none."""
        ...

    @property
    def eos_token(self) -> str:
        """Text of the token that ends a sequence; "" where there is none."""
        ...

    @property
    def starts_with_bos(self) -> bool:
        """Whether the tokenizer itself puts `bos_token` before a plain text."""
        ...

    @property
    def chat_template(self) -> str:
        """The model's own chat template (Jinja); "" where there is none."""
        ...

    def render_chat(self, template: str, messages: Sequence[Mapping[str, Any]], **variables: Any) -> str:
        """A conversation as `template` writes it, up to where the model is to speak."""
        ...


class HFTokenizer:
    """A tokenizer of the transformers library, through its `tokenizers` backend.

    Special tokens that stand in a text (`<｜User｜>` in a rendered template) are encoded as the special tokens.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, eos_ids: Iterable[int] = ()) -> None:
        """Wrap a tokenizer.

        Args:
            tokenizer: One with a `tokenizers` backend.
            eos_ids: Tokens that end a response besides the tokenizer's own (the generation config's).

        Raises:
            ModelError: The tokenizer has no `tokenizers` backend.
        """
        if getattr(tokenizer, "backend_tokenizer", None) is None:
            raise ModelError(
                f"tokenizer {type(tokenizer).__name__} is not a fast tokenizer. Save one with a tokenizer.json"
            )
        self.hf = tokenizer
        self._backend: Any = tokenizer.backend_tokenizer
        self.images: ImageReader | None = None
        """What reads images for the model; None where it reads none."""
        self._chat_template = ""
        own = tokenizer.eos_token_id
        self._eos_ids = frozenset(eos_ids) | (frozenset() if own is None else {int(own)})

    @classmethod
    def load(cls, path_or_name: str | Path, revision: str | None = None) -> HFTokenizer:
        """Tokenizer of a model folder, or of a hub name that is in the local cache or can be downloaded.

        `tokenizer.json` is read as it is where there is one, whatever class the configuration names.

        Raises:
            ModelError: There is no tokenizer, or it cannot be read.
        """
        source = str(path_or_name)
        folder = Path(path_or_name)
        try:
            if (folder / "tokenizer.json").is_file():
                from transformers import PreTrainedTokenizerFast as Loader
            else:
                from transformers import AutoTokenizer as Loader  # loads much more of the library
            tokenizer = Loader.from_pretrained(source, revision=revision)
        except Exception as error:
            if not isinstance(error, (OSError, ValueError, KeyError)) and type(error) is not Exception:
                raise  # only `tokenizers` raises bare exceptions: a tokenizer.json that it cannot read
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(f"no tokenizer can be read from {source!r}: {reason}") from error
        found = cls(tokenizer, _generation_eos(folder) if folder.is_dir() else ())
        if folder.is_dir():
            from cotlab.chains.image_reader import ImageReader

            found.images = ImageReader.of(folder, found._backend.id_to_token)
            found._chat_template = _processor_template(folder) if found.images else ""
        return found

    @cached_property
    def id(self) -> str:
        """Hash of the serialised backend: vocabulary, merges, rules, added tokens; not of truncation and padding.

        Where the model reads images, also of its image processor: what a prompt's tokens are depends on both.
        """
        rules = dict(self._rules)
        for state in ("version", "truncation", "padding"):
            rules.pop(state, None)
        return content_id("tokenizer", rules if self.images is None else [rules, self.images.id])

    @property
    def eos_ids(self) -> frozenset[int]:
        """Tokens that end a response."""
        return self._eos_ids

    @property
    def bos_token(self) -> str:
        """Text of the token that starts a sequence; "" where there is none."""
        return str(self.hf.bos_token or "")

    @property
    def eos_token(self) -> str:
        """Text of the token that ends a sequence; "" where there is none."""
        return str(self.hf.eos_token or "")

    @cached_property
    def starts_with_bos(self) -> bool:
        """Whether the tokenizer itself puts `bos_token` before a plain text."""
        ids = self._backend.encode("a", add_special_tokens=True).ids
        return bool(ids) and ids[0] == self.hf.bos_token_id

    @property
    def chat_template(self) -> str:
        """The model's own chat template (Jinja); "" where there is none."""
        template = self.hf.chat_template
        if isinstance(template, dict):
            template = template.get("default")
        return str(template or self._chat_template)

    def render_chat(self, template: str, messages: Sequence[Mapping[str, Any]], **variables: Any) -> str:
        """A conversation as `template` writes it, up to where the model is to speak.

        Args:
            template: Jinja text; transformers runs it in a sandbox.
            messages: Dicts of role and content (text, or a list of parts).
            variables: What else the template may use (`enable_thinking`).
        """
        return str(
            self.hf.apply_chat_template(
                [dict(message) for message in messages],
                chat_template=template,
                tokenize=False,
                add_generation_prompt=True,
                **variables,
            )
        )

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; no special token is added."""
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of the tokens, special tokens left out, white space as it is."""
        return str(self._backend.decode(list(token_ids), skip_special_tokens=True))

    def pieces(self, token_ids: Sequence[int]) -> list[str]:
        """Text that each token adds, in time linear in their number.

        Raises:
            ModelError: The tokenizer rewrites text that it has given out, so that its tokens have no pieces.
        """
        pieces = self._pieces(token_ids)
        text, joined = self.decode(token_ids), "".join(pieces)
        if joined == f" {text}":  # SentencePiece's decoders strip the space that encoding put before the text
            first = next(i for i, piece in enumerate(pieces) if piece)
            pieces[first] = pieces[first][1:]
        elif joined != text:
            raise ModelError(f"tokenizer {self.hf.name_or_path!r} decodes in a way that has no piece per token")
        return pieces

    def _pieces(self, token_ids: Sequence[int]) -> list[str]:
        tokens = [None if i in self._special_ids else self._backend.id_to_token(i) for i in token_ids]
        if self._decoders == {"ByteLevel"}:
            return byte_level_pieces(tokens)
        if "ByteFallback" in self._decoders:
            return byte_fallback_pieces(tokens)
        from tokenizers.decoders import DecodeStream

        stream = DecodeStream(skip_special_tokens=True)
        return [stream.step(self._backend, token_id) or "" for token_id in token_ids]

    @cached_property
    def _rules(self) -> dict[str, Any]:
        rules: dict[str, Any] = json.loads(self._backend.to_str())
        return rules

    @cached_property
    def _decoders(self) -> frozenset[str]:
        decoder = self._rules["decoder"] or {}
        return frozenset(part["type"] for part in decoder.get("decoders", [decoder]) if part)

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        return frozenset(token["id"] for token in self._rules["added_tokens"] if token["special"])


def image_reader(tokenizer: Tokenizer) -> ImageReader | None:
    """What reads images for a tokenizer's model; None where it reads none."""
    return tokenizer.images if isinstance(tokenizer, HFTokenizer) else None


def _processor_template(folder: Path) -> str:
    """Chat template of a processor; "" where it has none."""
    own = folder / "chat_template.jinja"
    if own.is_file():
        return own.read_text(encoding="utf-8")
    for name in ("chat_template.json", "processor_config.json"):
        try:
            found = json.loads((folder / name).read_text(encoding="utf-8")).get("chat_template")
        except (OSError, ValueError, AttributeError):
            continue
        if isinstance(found, str):
            return found
    return ""


def _generation_eos(folder: Path) -> frozenset[int]:
    """End tokens that `generation_config.json` names, one or a list."""
    path = folder / "generation_config.json"
    if not path.is_file():
        return frozenset()
    try:
        named = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id")
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is not valid JSON ({error}). Copy it again from the model") from error
    return frozenset([named] if isinstance(named, int) else named or ())
