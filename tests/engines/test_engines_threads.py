"""A small model runs on one CPU thread, however it is opened: threads that wait for each other stand still."""

import os
from pathlib import Path

import pytest

from cotlab.engines import open_engine
from cotlab.engines.threads import fit_threads


def weights(folder: Path, name: str, size: int) -> Path:
    folder.mkdir()
    with (folder / name).open("wb") as file:
        file.truncate(size)  # sparse: takes no room on the disk
    return folder


@pytest.fixture
def two_threads(monkeypatch):
    import torch

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("cotlab.engines.threads._Fitted.variable", None)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors", "model-00001-of-00001.safetensors"])
def test_a_large_model_keeps_its_threads_also_after_a_small_one(tmp_path, monkeypatch, two_threads, name):
    import torch

    large = weights(tmp_path / "large", name, 4 << 30)
    small = weights(tmp_path / "small", name, 1 << 20)
    fit_threads(large)
    assert torch.get_num_threads() == 2 and "OMP_NUM_THREADS" not in os.environ
    for _ in range(2):
        fit_threads(small)
        assert torch.get_num_threads() == 1 and os.environ["OMP_NUM_THREADS"] == "1"
    fit_threads(large)
    assert torch.get_num_threads() == 2 and "OMP_NUM_THREADS" not in os.environ
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # now the user says so
    fit_threads(small)
    assert torch.get_num_threads() == 2 and os.environ["OMP_NUM_THREADS"] == "2"


def test_every_way_to_open_a_small_model_takes_one_thread(two_threads):
    import torch

    from cotlab.whitebox.inside import Inside

    Inside.open("tiny")
    assert torch.get_num_threads() == 1
    with open_engine("tiny", "transformers").engine:
        assert torch.get_num_threads() == 1
