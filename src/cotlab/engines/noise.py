"""The random numbers of a rollout: one stream a seed, whatever shares the batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["keys", "uniforms"]

BLOCK = 64


def uniforms(seed: int) -> Iterator[float]:
    """Endless uniform numbers in [0, 1), number t for token t: Philox with the seed (0 … 2^128 − 1) as its key."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    while True:
        yield from generator.random(BLOCK).tolist()


def keys(seed: int) -> Iterator[int]:
    """Endless random signed 64-bit numbers, number t for token t, of the same stream."""
    generator = np.random.Philox(key=seed)
    while True:
        yield from generator.random_raw(BLOCK).astype(np.int64).tolist()
