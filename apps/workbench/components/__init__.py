"""The app's own component: chain, curve and tree over one selection."""

from components.chain_view import ViewData, chain_view, pack

__all__ = ["ViewData", "chain_view", "pack"]
