"""An engine that stays open between studies: once for each model, and closed where another needs its room."""

import pytest

from cotlab.engines import MarkovEngine, keeping_engine
from cotlab.engines.keeping import close_idle_engine, kept_engine
from cotlab.engines.load import OpenedEngine, markov_card
from cotlab.engines.markov_specs import markov_spec
from cotlab.errors import EngineError


class Opened:
    """Opens engines, and knows which were closed."""

    def __init__(self):
        self.log = []

    def __call__(self, name="a"):
        def open_it():
            engine = MarkovEngine(markov_spec("lucky"))
            self.log.append(f"open {name}")
            engine.close = lambda: self.log.append(f"close {name}")
            return OpenedEngine(engine, markov_card("lucky"), None)

        return kept_engine(name, open_it)


def test_without_keeping_each_study_opens_and_closes():
    opened = Opened()
    for _ in range(2):
        with opened("a"):
            pass
    assert opened.log == ["open a", "close a"] * 2


def test_the_same_model_is_opened_once_and_another_closes_it_first():
    opened = Opened()
    with keeping_engine():
        with opened("a") as first:
            pass
        with keeping_engine(), opened("a") as again:  # a block within it is of no consequence
            assert again is first
        with opened("b"):
            assert opened.log == ["open a", "close a", "open b"]
    assert opened.log == ["open a", "close a", "open b", "close b"]


def test_an_engine_in_use_stays_and_another_beside_it_is_closed_at_once():
    opened = Opened()
    with keeping_engine(), opened("a"):
        close_idle_engine()
        with opened("b"):
            pass
        assert opened.log == ["open a", "open b", "close b"]
    assert opened.log[-1] == "close a"


def test_after_a_failure_it_is_opened_anew():
    opened = Opened()
    with keeping_engine():
        with pytest.raises(EngineError), opened("a"):
            raise EngineError("it broke")
        with opened("a"):
            pass
        close_idle_engine()
        close_idle_engine()
    assert opened.log == ["open a", "close a"] * 2


def test_studies_of_one_model_share_it(tmp_path, monkeypatch):
    """A study and going on with it, of a model that is loaded once; another seed's rollouts are as without keeping."""
    import cotlab as ct
    from cotlab.engines import load

    loaded = []
    real = load._open_model
    monkeypatch.setattr(load, "_open_model", lambda *given: loaded.append(given[0]) or real(*given))

    def drawn(folder):
        asked = {"problems": "solve", "n_problems": 1, "n": 2, "positions": "0", "max_tokens": 40}
        texts = []
        for seed in (0, 1):
            study = ct.resample(
                run=tmp_path / folder / str(seed), model="tiny", engine="transformers", seed=seed, **asked
            )
            with ct.revisit(study.path) as found:
                texts.append(sorted(one.text for one in found.run.rollouts()))
        return texts

    alone = drawn("alone")
    assert len(loaded) == 4
    with keeping_engine():
        kept = drawn("kept")
    assert len(loaded) == 5 and kept == alone
