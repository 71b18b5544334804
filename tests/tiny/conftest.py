import random

import pytest

from cotlab import tiny


@pytest.fixture(scope="session")
def chains() -> list[tiny.LabelledChain]:
    rng = random.Random(0)
    return [tiny.write_chain(tiny.draw_problem(rng), rng) for _ in range(1600)]
