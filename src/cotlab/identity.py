"""Names made from content: equal things get equal ids on every machine.

An id is `blake2b(tag, NUL, content)` cut to 96 bits, in hex. The tag keeps two kinds of things with the same bytes
apart.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable
from typing import Any

__all__ = ["canonical_json", "content_id", "hash_bytes", "seed_for", "token_bytes"]


def canonical_json(value: Any) -> str:
    """Serialise `value` so that equal values give equal text: sorted keys, no spaces, no NaN.

    Raises:
        ValueError: `value` holds NaN or infinity.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def token_bytes(token_ids: Iterable[int]) -> bytes:
    """Pack token ids as little-endian int32."""
    packed = array("i", token_ids)
    if packed.itemsize != 4:  # pragma: no cover - no supported platform has another size
        raise RuntimeError(f"array('i') has {packed.itemsize}-byte items, expected 4")
    return packed.tobytes()


def hash_bytes(tag: str, *parts: bytes) -> str:
    """Hash byte strings under a tag; each part is preceded by its length, so that parts cannot run together."""
    digest = hashlib.blake2b(tag.encode() + b"\0", digest_size=12)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def content_id(tag: str, value: Any) -> str:
    """Id of anything that serialises to JSON."""
    return hash_bytes(tag, canonical_json(value).encode("utf-8", "surrogatepass"))


def seed_for(study_seed: int, prefix_id: str, sample_idx: int) -> int:
    """Seed of one rollout, in 0 … 2^62 − 1.

    The intervention is left out on purpose: arms that differ only in the intervention are paired sample by sample.
    """
    text = f"seed\0{study_seed}\0{prefix_id}\0{sample_idx}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 2
