import pytest

from cotlab.tiny import scenes as sc


@pytest.fixture(scope="session")
def scenes() -> list[sc.Scene]:
    return sc.draw_scenes(200, seed=3)
