import json
import socket
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import numpy as np
import pytest
from huggingface_hub import hf_hub_download
from safetensors.numpy import save_file

from cotlab.chains.problem import Problem
from cotlab.chains.tokens import HFTokenizer
from cotlab.errors import ModelError
from cotlab.models import TINY_CARD, hub_in_reach, resolve_model, weights_hash
from cotlab.models import folder as folder_module


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2", "num_hidden_layers": 1, "hidden_size": 4}))
    (folder / "tokenizer.json").write_text("{}")
    save_file({"a": np.arange(64, dtype=np.float32), "b": np.ones(8, dtype=np.float32)}, folder / "model.safetensors")
    return folder


def test_a_folder_is_itself(model, monkeypatch):
    found = resolve_model(str(model))
    assert (found.name, found.path, found.card.n_layers) == ("my-model", model, 1)
    assert found.revision == weights_hash(model)
    monkeypatch.chdir(model.parent)
    assert resolve_model("./my-model").revision == resolve_model("my-model").revision == found.revision
    monkeypatch.chdir(model)
    assert resolve_model(".").name == "my-model"


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("config.json", "has no config.json. Save one with model.save_pretrained"),
        (
            "tokenizer.json",
            r"has no tokenizer \(looked for tokenizer.json, tokenizer.model\). Save one with tokenizer.save_pr",
        ),
        ("model.safetensors", "has no weights"),
    ],
)
def test_each_missing_part_is_one_line(model, monkeypatch, gone, message):
    (model / gone).unlink()
    monkeypatch.chdir(model.parent)
    with pytest.raises(ModelError, match=message) as caught:
        resolve_model("./my-model")
    assert "\n" not in str(caught.value)
    assert "'./my-model'" in str(caught.value) or "'my-model'" in str(caught.value)


def test_damaged_parts_are_one_line(model):
    weights = model / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-16])
    with pytest.raises(ModelError, match=rf"cut short: {len(whole) - 16} bytes of {len(whole)}"):
        resolve_model(str(model))
    for damaged in (b"", whole[:20], b"\xff" * 64, b"\x02" + b"\0" * 7 + b"{}"):
        weights.write_bytes(damaged)
        with pytest.raises(ModelError, match="is damaged"):
            resolve_model(str(model))
    (model / "config.json").write_text("{")
    with pytest.raises(ModelError, match="not valid JSON"):
        resolve_model(str(model))


def test_a_missing_shard_is_named(model):
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors", "c": "model-3.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"lacks 2 of 3 weight files, first model-2\.safetensors"):
        resolve_model(str(model))


@pytest.mark.parametrize("name", ["./none", "/none/at/all", "a/b/c", "none/"])
def test_a_path_that_is_not_there(name):
    with pytest.raises(ModelError, match=f"model folder '{name}' does not exist"):
        resolve_model(name)


def test_a_file_is_no_folder(model):
    with pytest.raises(ModelError, match="is a file, not a folder"):
        resolve_model(str(model / "config.json"))


def test_a_model_that_is_not_here_says_how_to_get_it():
    with pytest.raises(ModelError) as caught:
        resolve_model("r1-qwen-1.5b", offline=True)
    assert str(caught.value) == (
        "model 'r1-qwen-1.5b' is not on this machine. "
        "Get it with `hf download deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B` "
        "where there is a network, or give a folder: --model /path/to/folder"
    )
    with pytest.raises(ModelError, match=r"Did you mean 'deepseek-ai/DeepSeek-R1-Distill-Qwen-1\.5B'\?"):
        resolve_model("deepseek-ai/DeepSeek-R1-Destill-Qwen-1.5B", offline=True)
    with pytest.raises(ModelError, match="is not on this machine"):
        resolve_model("no such model!", offline=True)


def test_the_hubs_cache_is_used_where_it_is_complete(model, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    snapshot = cache / "models--someone--small" / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    model.rename(snapshot)
    (cache / "models--someone--small" / "refs").mkdir()
    (cache / "models--someone--small" / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    found = resolve_model("someone/small", offline=True)
    assert (found.name, found.revision, found.card.n_layers) == ("someone/small", "0" * 40, 1)
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="is not on this machine"):
        resolve_model("someone/small", offline=True)


def test_the_hash_follows_the_weights(model, monkeypatch):
    first = weights_hash(model)
    save_file({"a": np.arange(64, dtype=np.float32), "b": np.zeros(8, dtype=np.float32)}, model / "model.safetensors")
    assert weights_hash(model) != first


def test_large_files_are_sampled(model, monkeypatch):
    monkeypatch.setattr(folder_module, "_WHOLE", 1000)
    monkeypatch.setattr(folder_module, "_EDGE", 200)
    monkeypatch.setattr(folder_module, "_SAMPLE", 10)
    weights = model / "model.safetensors"
    values = np.zeros(20_000, dtype=np.float32)
    save_file({"a": values}, weights)
    zeros = weights_hash(model)
    assert zeros == weights_hash(model)
    save_file({"a": values + 1}, weights)
    assert weights_hash(model) != zeros
    save_file({"a": values[:-1]}, weights)
    assert weights_hash(model) != zeros


def test_tiny():
    found = resolve_model("tiny")
    assert (found.name, found.card) == ("tiny", TINY_CARD)
    tokenizer = HFTokenizer.load(found.path)
    template = found.card.template().bound(tokenizer)
    prompt = template.render(Problem("Use 2, 3 and 4 to make 10."), tokenizer)
    assert prompt.endswith("<think>\n")
    ids = template.encode(Problem("Use 2, 3 and 4 to make 10."), tokenizer)
    assert "<think>" in tokenizer.decode(ids)
    pieces = tokenizer.pieces(ids)
    assert "".join(pieces) == tokenizer.decode(ids)
    assert tokenizer.eos_ids


def test_an_organism_that_is_not_there_is_one_line():
    with pytest.raises(ModelError, match=r"no weights of the tiny model 'bold' here \(there are: .*honest"):
        resolve_model("tiny:bold")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that does not answer: nobody listens at its address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


def test_a_hub_that_does_not_answer_is_asked_once(hub, caplog):
    """The hub's own library tries six times, with 23 seconds of sleep between."""
    from huggingface_hub import constants

    started = time.monotonic()
    with pytest.raises(ModelError, match="'someone/small' is not on this machine and the hub cannot be reached"):
        resolve_model("someone/small")
    with hub_in_reach():
        assert constants.HF_HUB_OFFLINE
        with pytest.raises(FileNotFoundError):
            hf_hub_download("someone/small", "config.json")
    assert time.monotonic() - started < 15 and not constants.HF_HUB_OFFLINE
    assert "Retrying" not in caplog.text


def test_a_hub_that_answers_is_used(monkeypatch):
    """Whatever it answers to the question whether it is there."""
    from huggingface_hub import constants

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(404)

        def log_message(self, *said):
            pass

    with HTTPServer(("127.0.0.1", 0), Hub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        with hub_in_reach():
            assert not constants.HF_HUB_OFFLINE
        server.shutdown()
