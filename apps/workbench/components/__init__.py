"""Our own Streamlit components."""

from components.chain_view import ViewData, chain_view, pack
from components.figure import figure

__all__ = ["ViewData", "chain_view", "figure", "pack"]
