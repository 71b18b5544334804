"""Lets these tests use the real markov runs of the tests of trees."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "trees"))
