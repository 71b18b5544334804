"""An engine that stays open between studies: once for each model, and closed where another needs its room."""

import pytest

import cotlab as ct
from cotlab.engines import MarkovEngine, keeping_engine, load
from cotlab.engines.keeping import close_idle_engine, kept_engine
from cotlab.engines.load import OpenedEngine, markov_card
from cotlab.engines.markov_specs import markov_spec
from cotlab.errors import EngineError
from cotlab.sampling import Silent, StudyConfig
from cotlab.sampling.open_study import study_engine


class Opened:
    """Opens engines, and knows which were closed."""

    def __init__(self):
        self.log = []

    def __call__(self, name="a"):
        def open_it():
            engine = MarkovEngine(markov_spec("lucky"))
            self.log.append(f"open {name}")
            engine.close = lambda: self.log.append(f"close {name}")
            engine.forget = lambda: self.log.append(f"forget {name}")
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
            assert opened.log == ["open a", "forget a", "close a", "open b"]
    assert opened.log[-1] == "close b" and len(opened.log) == 5


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


def test_studies_of_one_model_share_it_and_draw_as_if_each_had_loaded_it(tmp_path, monkeypatch):
    """In bfloat16, where a prefix that is computed in other pieces gives other tokens."""
    loaded = []
    real = load._open_model
    monkeypatch.setattr(load, "_open_model", lambda *given: loaded.append(given[0]) or real(*given))

    def drawn(folder):
        asked = {"problems": "countdown", "n_problems": 3, "n": 3, "positions": "0", "max_tokens": 120}
        asked |= {"model": "tiny", "engine": "transformers", "engine_options": {"dtype": "bfloat16"}}
        found = []
        for seed in (0, 1):
            study = ct.resample(run=tmp_path / folder / str(seed), seed=seed, **asked)
            with ct.revisit(study.path, engine_options=asked["engine_options"]) as again:
                texts = sorted((one.prefix_id, one.sample_idx, one.text) for one in again.run.rollouts())
            found.append((texts, study.prefix_cache_hit_rate))
        return found

    alone = drawn("alone")
    assert len(loaded) == 4
    with keeping_engine():
        kept = drawn("kept")
    assert len(loaded) == 5 and kept == alone


def test_a_template_that_was_written_anew_is_another_engine(tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr(load, "_open_model", lambda *given: loaded.append(given[0]) or Fake())
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    asked = StudyConfig.of(problems="countdown", model=str(folder), run=tmp_path / "run")
    with keeping_engine():
        for text in ("{}", "{}", '{"a": 1}'):
            if text != (folder / "config.json").read_text():
                (folder / "config.json").write_text(text)
            with study_engine(asked, Silent()):
                pass
    assert len(loaded) == 2


class Fake:
    """An engine that is never asked."""

    engine = property(lambda self: self)

    def forget(self):
        pass

    def close(self):
        pass
