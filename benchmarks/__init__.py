"""Benchmarks: each is a script that prints a Markdown section, or one JSON document with `--json`."""
