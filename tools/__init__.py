"""What the Makefile runs: set-up, lock. Standard library only, for a machine that has nothing but Python."""
