"""Cards of known reasoning models.

Layers and widths are those of the published `config.json`; sampling is what the model cards on the hub recommend.
SAE releases are named as in SAELens's registry.
"""

from __future__ import annotations

from dataclasses import replace

from cotlab.chains.settings import SamplingSettings
from cotlab.models.card import ModelCard

__all__ = ["KNOWN_CARDS", "TINY_CARD", "TINY_VLM_CARD", "VISION_CHOICE"]

_QWEN3_SAMPLING = SamplingSettings(temperature=0.6, top_p=0.95, top_k=20)
VISION_CHOICE = "Answer with the option's letter from the given choices directly."
"""What LLaVA's makers put behind a question with options; they put nothing behind others."""
_LLAVA_SAMPLING = SamplingSettings(temperature=0.2, top_p=0.7, max_tokens=1024)
"""That of LLaVA's own demo."""
_QWEN_VL_SAMPLING = SamplingSettings(temperature=0.7, top_p=0.8, top_k=20, max_tokens=1024)
"""That of Qwen2.5: the makers' generation config for the image-text models is all but greedy."""
_LLAMA_SCOPE = ("llama_scope_lxr_8x", "llama_scope_lxr_32x", "llama_scope_lxm_8x", "llama_scope_lxa_8x")

TINY_CARD = ModelCard(
    name="tiny",
    family="tiny",
    aliases=("tiny-reasoner",),
    template_kind="tokenizer",
    instruction="",
    choice_instruction="",
    system="avoid",
    sampling=SamplingSettings(temperature=1.0, top_p=1.0, max_tokens=512),
    licence="MIT",
    notes="The embedded tiny reasoner: Countdown and equations, with an exact oracle. Its prompts are bare questions.",
)

TINY_VLM_CARD = replace(
    TINY_CARD,
    name="tiny-vlm",
    family="tiny-vlm",
    aliases=(),
    notes="The embedded tiny vision-language model: questions on pictures of coloured shapes, with exact truth.",
)


def _r1(size: str, family: str, n_layers: int, d_model: int, saes: tuple[str, ...] = ()) -> ModelCard:
    base = family.rsplit("-", 1)[1]
    return ModelCard(
        name=f"deepseek-ai/DeepSeek-R1-Distill-{base.capitalize()}-{size}",
        family=family,
        aliases=(f"r1-{base}-{size.lower()}", f"r1-distill-{base}-{size.lower()}"),
        template_kind="r1",
        system="avoid",
        n_layers=n_layers,
        d_model=d_model,
        saes=saes,
        licence="MIT" if base == "qwen" else "MIT, and the Llama licence of the base model",
        notes="Makers advise temperature 0.5-0.7, no system prompt, and to open the think tag in the prompt.",
    )


def _qwen3(name: str, n_layers: int, d_model: int, saes: tuple[str, ...] = ()) -> ModelCard:
    only_thinks = "Thinking" in name
    return ModelCard(
        name=f"Qwen/{name}",
        family="qwen3",
        aliases=(name.lower(),),
        template_kind="qwen3",
        think="open" if only_thinks else "model",
        n_layers=n_layers,
        d_model=d_model,
        sampling=_QWEN3_SAMPLING,
        saes=saes,
        licence="Apache-2.0",
        notes="Its template opens the think tag." if only_thinks else "Opens its think tag itself; never greedy.",
    )


def _vision(
    name: str,
    family: str,
    aliases: tuple[str, ...],
    n_layers: int,
    d_model: int,
    sampling: SamplingSettings,
    licence: str,
) -> ModelCard:
    """An image-text model, which does not think aloud; its image processor brings the chat template."""
    return ModelCard(
        name=name,
        family=family,
        aliases=aliases,
        template_kind="tokenizer",
        think="none",
        tags=None,
        instruction="",
        choice_instruction=VISION_CHOICE,
        n_layers=n_layers,
        d_model=d_model,
        sampling=sampling,
        licence=licence,
        notes="Sees the images of a problem; engine transformers.",
    )


KNOWN_CARDS: tuple[ModelCard, ...] = (
    TINY_CARD,
    TINY_VLM_CARD,
    _r1("1.5B", "r1-distill-qwen", 28, 1536),
    _r1("7B", "r1-distill-qwen", 28, 3584),
    _r1("14B", "r1-distill-qwen", 48, 5120),
    _r1("32B", "r1-distill-qwen", 64, 5120),
    _r1(
        "8B",
        "r1-distill-llama",
        32,
        4096,
        (
            "llama_scope_r1_distill",
            "deepseek-r1-distill-llama-8b-qresearch",
            *(f"{name} (base)" for name in _LLAMA_SCOPE),
        ),
    ),
    _r1("70B", "r1-distill-llama", 80, 8192),
    ModelCard(
        name="deepseek-ai/DeepSeek-R1-0528-Qwen3-8B",
        family="r1-0528-qwen3",
        aliases=("r1-0528-qwen3-8b",),
        template_kind="r1",
        think="model",
        n_layers=36,
        d_model=4096,
        licence="MIT",
        notes="Qwen3-8B's architecture with DeepSeek's template; has a system role; opens its think tag itself.",
    ),
    ModelCard(
        name="Qwen/QwQ-32B",
        family="qwq",
        aliases=("qwq-32b", "qwq"),
        template_kind="qwen3",
        n_layers=64,
        d_model=5120,
        sampling=SamplingSettings(temperature=0.6, top_p=0.95, top_k=40),
        licence="Apache-2.0",
        notes="Its template opens the think tag; makers advise top_k 20-40.",
    ),
    _qwen3("Qwen3-0.6B", 28, 1024, ("mwhanna-qwen3-0.6b-transcoders-lowl0",)),
    _qwen3(
        "Qwen3-1.7B",
        28,
        2048,
        (
            "mwhanna-qwen3-1.7b-transcoders-lowl0",
            "qwen-scope-3-1.7b-base-w32k-l50 (base)",
            "qwen-scope-3-1.7b-base-w32k-l100 (base)",
        ),
    ),
    _qwen3("Qwen3-4B", 36, 2560, ("mwhanna-qwen3-4b-transcoders",)),
    _qwen3(
        "Qwen3-8B",
        36,
        4096,
        (
            "mwhanna-qwen3-8b-transcoders",
            "qwen-scope-3-8b-base-w64k-l50 (base)",
            "qwen-scope-3-8b-base-w64k-l100 (base)",
        ),
    ),
    _qwen3("Qwen3-14B", 40, 5120, ("mwhanna-qwen3-14b-transcoders", "mwhanna-qwen3-14b-transcoders-lowl0")),
    _qwen3("Qwen3-32B", 64, 5120),
    _qwen3(
        "Qwen3-30B-A3B",
        48,
        2048,
        ("qwen-scope-3-30b-a3b-base-w32k-l50 (base)", "qwen-scope-3-30b-a3b-base-w128k-l100 (base)"),
    ),
    _qwen3("Qwen3-235B-A22B", 94, 4096),
    _qwen3("Qwen3-4B-Thinking-2507", 36, 2560),
    _qwen3("Qwen3-30B-A3B-Thinking-2507", 48, 2048),
    _qwen3("Qwen3-235B-A22B-Thinking-2507", 94, 4096),
    ModelCard(
        name="HuggingFaceTB/SmolLM2-135M-Instruct",
        family="smollm2",
        aliases=("smollm2-135m-instruct", "smollm2-135m", "smollm2"),
        think="none",
        tags=None,
        n_layers=30,
        d_model=576,
        sampling=SamplingSettings(temperature=0.2, top_p=0.9, max_tokens=1024),
        licence="Apache-2.0",
        notes="A small instruction model without think tags; its chat template brings a system prompt of its own.",
    ),
    _vision(
        "llava-hf/llava-1.5-7b-hf", "llava-1.5", ("llava-1.5-7b", "llava-1.5"), 32, 4096, _LLAVA_SAMPLING, "Llama 2"
    ),
    _vision(
        "llava-hf/llama3-llava-next-8b-hf",
        "llava-next",
        ("llava-next-8b", "llava-next"),
        32,
        4096,
        _LLAVA_SAMPLING,
        "Llama 3",
    ),
    _vision(
        "Qwen/Qwen2.5-VL-3B-Instruct", "qwen2.5-vl", ("qwen2.5-vl-3b",), 36, 2048, _QWEN_VL_SAMPLING, "Qwen Research"
    ),
    _vision("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2.5-vl", ("qwen2.5-vl-7b",), 28, 3584, _QWEN_VL_SAMPLING, "Apache-2.0"),
)
"""In the order in which lists show them."""
