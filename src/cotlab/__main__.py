"""`python -m cotlab`."""

from cotlab.cli import main

main()
