"""cotlab."""
