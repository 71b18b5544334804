"""Options of the transformers engine."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TransformersOptions"]


@dataclass(frozen=True, slots=True)
class TransformersOptions:
    """Where and how large; the defaults fit the machine."""

    device: str = "auto"
    """auto (cuda if there, else cpu) or a torch device."""
    dtype: str = "auto"
    """auto (bfloat16 on cuda, else float32), float32, bfloat16 or float16."""
    max_rows: int = 128
    """Most rollouts that are sampled at the same moment."""
    kv_gib: float | None = None
    """Memory for keys and values; default: 2 GiB, on cuda 80% of what the model leaves free."""
    max_model_len: int | None = None
    """Longest sequence; default: what the model's configuration says."""

    def __post_init__(self) -> None:
        for name, ok, wanted in (
            ("max_rows", self.max_rows >= 1, "1 or more"),
            ("kv_gib", self.kv_gib is None or self.kv_gib > 0, "more than 0"),
            ("max_model_len", self.max_model_len is None or self.max_model_len >= 2, "2 or more"),
            ("dtype", self.dtype in ("auto", "float32", "bfloat16", "float16"), "auto, float32, bfloat16 or float16"),
        ):
            if not ok:
                raise ValueError(f"{name} is {getattr(self, name)}, expected {wanted}")
