"""Our own Streamlit components."""

from components.chain_view import ViewData, chain_view, pack
from components.figure import figure
from components.image_view import image_view

__all__ = ["ViewData", "chain_view", "figure", "image_view", "pack"]
