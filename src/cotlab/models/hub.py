"""The model hub, asked once and shortly whether it answers: its own library would try again for half a minute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["hub_in_reach"]

PATIENCE = 5.0
"""Seconds until a connection counts as none."""


@contextmanager
def hub_in_reach() -> Iterator[None]:
    """Inside, the hub's library looks into its cache alone where the hub does not answer, and fails at once."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _answers(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _answers(address: str) -> bool:
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import get_session

    try:
        get_session().head(address, timeout=PATIENCE)
    except HfHubHTTPError.__bases__:  # the root of the errors of the HTTP library that the hub was built with, OSError
        return False
    return True
