"""Libraries that the first chain needs: loaded while the reader still looks at the first page."""

from __future__ import annotations

from importlib import import_module
from threading import Thread

import streamlit as st

__all__ = ["warm"]

SLOW = ("scipy.stats", "networkx")
"""What measures and trees import when they are used first, half a second or more each."""


@st.cache_resource(show_spinner=False)
def warm() -> Thread:
    """Begin once a server; whoever needs one of them before waits for the same import."""
    thread = Thread(target=lambda: [import_module(name) for name in SLOW], name="warm", daemon=True)
    thread.start()
    return thread
